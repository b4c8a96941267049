// Any text as a name of an image: what is accepted normalises to something that means the same and
// that can stand in a path and an argument without surprise.

#include <cstdint>
#include <string_view>

#include "plugins/runtime/oci/images/catalog.h"
#include "plugins/runtime/oci/images/endpoints.h"
#include "plugins/runtime/oci/images/reference.h"

namespace {

namespace oci = skep::oci;

void check_reference(std::string_view input, std::string_view domain) {
  const auto reference = oci::parse_reference(input, domain);
  if (!reference) {
    SKEP_ASSERT(reference.error().code == skep::Code::kInvalidArgument, "a name is good or bad");
    return;
  }
  const std::string canonical = reference->canonical();
  SKEP_ASSERT(canonical.find_first_of(std::string_view(" \t\n\0'\"\\$", 8)) == std::string::npos,
              "no odd characters");
  SKEP_ASSERT(
      canonical.find("..") == std::string::npos || reference->tag.find("..") != std::string::npos,
      "no path tricks");
  SKEP_ASSERT(!canonical.starts_with('-') && !canonical.starts_with('/'), "no option, no path");
  const auto again = oci::parse_reference(canonical, domain);
  SKEP_ASSERT(again && again->canonical() == canonical, "canonical names are fixed points");
  const auto shown = oci::parse_reference(oci::familiar(*reference, domain), domain);
  SKEP_ASSERT(shown && shown->canonical() == canonical && shown->digest == reference->digest,
              "the short name means the same");
  oci::EndpointRules rules;
  rules.insecure_registries = {"10.0.0.0/8", std::string(input)};
  SKEP_ASSERT(
      !oci::endpoints_for(*reference, rules, [](const std::string&) { return false; }).empty(),
      "there is always somebody to ask");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  check_reference(input, oci::kDockerDomain);
  check_reference(input, "reg.example.com:5000");
  if (const auto source = oci::parse_source(input)) {
    SKEP_ASSERT(source->kind == oci::SourceKind::kRegistry || source->path.starts_with('/'),
                "paths are absolute");
  }
  const std::string id = "sha256:" + std::string(64, 'a');
  static_cast<void>(
      oci::find_image(input, {{"docker.io/library/web:1", id}}, {id}, oci::kDockerDomain)
          .has_value());
  return 0;
}
