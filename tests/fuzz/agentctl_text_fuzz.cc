// Whatever people type at agentctl: templates, ports, mounts, commands and times give a value or an
// error that says what is wrong; nothing crashes and nothing runs for ever.

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/agentctl/auth.h"
#include "core/agentctl/flags/service_flags.h"
#include "core/agentctl/template/template.h"
#include "core/agentctl/text.h"

namespace ctl = skep::ctl;

namespace {

ctl::Value sample() {
  ctl::Value data = ctl::Value::object();
  data.set("ID", "abc").set("N", 3).set("F", 0.5).set("On", true).set("Nil", ctl::Value());
  data.set("List", ctl::Value(ctl::Value::List{"a", 1, true}));
  data.set("Map", ctl::Value::object().set("k", "v"));
  return data;
}

void check_template(const std::string& text) {
  const auto parsed = ctl::Template::parse(text);
  if (!parsed) {
    SKEP_ASSERT(!parsed.error().message.empty(), "an error says what is wrong");
    return;
  }
  const auto out = parsed->run(sample());
  SKEP_ASSERT(out || !out.error().message.empty(), "an error says what is wrong");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  check_template(text);
  if (const auto ports = ctl::parse_publish(text)) {
    SKEP_ASSERT(!ports->empty() && ports->size() <= 1000, "a range is bounded");
    for (const auto& port : *ports) {
      SKEP_ASSERT(port.target_port() >= 1 && port.target_port() <= 65535, "a port is a port");
    }
  }
  if (const auto mount = ctl::parse_mount(text)) {
    SKEP_ASSERT(!mount->target().empty(), "a mount has a target");
  }
  (void)ctl::split_shell_words(text);
  (void)ctl::split_csv(text);
  (void)ctl::parse_moment(text, 0);
  (void)ctl::find_credentials(text, "docker.io");
  const auto decoded = ctl::decode_base64(ctl::encode_base64(text));
  SKEP_ASSERT(decoded && *decoded == text, "base64 goes there and back");
  return 0;
}
