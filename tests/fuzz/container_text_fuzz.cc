// Texts that come from images, programs and the kernel: logs, user databases, conmon's answers,
// records, mount tables. Nothing may crash; a few things must hold.

#include <cstdlib>
#include <string>

#include "plugins/runtime/oci/container/cgroups.h"
#include "plugins/runtime/oci/container/conmon.h"
#include "plugins/runtime/oci/container/log_line.h"
#include "plugins/runtime/oci/container/overlay.h"
#include "plugins/runtime/oci/container/process_args.h"
#include "plugins/runtime/oci/container/record.h"
#include "plugins/runtime/oci/container/spec.h"
#include "plugins/runtime/oci/container/user.h"

namespace oci = skep::oci;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto record = oci::parse_log_line(text)) {
    const char* const begin = record->content.data();
    if (!record->content.empty() &&
        (begin < text.data() || begin + record->content.size() > text.data() + text.size())) {
      std::abort();  // content points into the line
    }
  }
  static_cast<void>(oci::ends_line(text));
  const auto half = text.size() / 2;
  const std::string first = text.substr(0, half);
  const std::string second = text.substr(half);
  static_cast<void>(oci::resolve_user(first, {}, second, second).has_value());
  static_cast<void>(oci::resolve_user("web", {first}, first, second).has_value());
  static_cast<void>(oci::parse_sync_line(text).has_value());
  static_cast<void>(oci::explain_runtime_error(text, first, second).message.size());
  static_cast<void>(oci::parse_exit_file(text).has_value());
  if (const auto record = oci::decode_record(text)) {
    const auto again = oci::decode_record(oci::encode_record(*record));
    if (!again || again->id != record->id || again->state != record->state) {
      std::abort();  // what was read can be written and read again
    }
  }
  static_cast<void>(oci::mounts_below(text, "/run").size());
  static_cast<void>(oci::Cgroups::holds(text, "/skep-x/oci/1"));
  static_cast<void>(oci::parse_signal(first).has_value());
  static_cast<void>(oci::build_exec_process(text, {.args = {"x"}, .env = {}}).has_value());
  return 0;
}
