// Any text as what a registry sends: configuration, manifest, records, credentials. Parsers answer
// a value or an error, and what they accepted obeys their promises.

#include <cstdint>
#include <string_view>

#include "plugins/runtime/oci/images/catalog.h"
#include "plugins/runtime/oci/images/digest.h"
#include "plugins/runtime/oci/images/image_config.h"
#include "plugins/runtime/oci/images/manifest.h"
#include "plugins/runtime/oci/images/registry_auth.h"
#include "plugins/runtime/oci/images/skopeo_errors.h"

namespace {

namespace oci = skep::oci;

void check_manifest(std::string_view input) {
  const auto manifest = oci::parse_manifest(input);
  if (!manifest) {
    return;
  }
  SKEP_ASSERT(manifest->choices.empty() != manifest->config.digest.empty(), "a list or an image");
  SKEP_ASSERT(manifest->layers.size() <= oci::kLayersMax, "overlayfs can stack it");
  for (const auto& layer : manifest->layers) {
    SKEP_ASSERT(oci::is_digest(layer.digest), "digests become file names");
  }
  if (!manifest->choices.empty()) {
    static_cast<void>(oci::choose_platform(*manifest, {"linux", "amd64", ""}).has_value());
  }
}

void check_config(std::string_view input) {
  const auto image = oci::parse_image_config(input);
  if (!image) {
    return;
  }
  for (const auto& layer : image->layers()) {
    SKEP_ASSERT(oci::is_digest(layer), "digests become file names");
  }
  SKEP_ASSERT(image->health_check().interval() >= 0, "times are not negative");
  const auto back = oci::parse_record(oci::format_record(input), image->id());
  SKEP_ASSERT(back && back->id() == image->id(), "a record keeps the blob byte for byte");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  check_manifest(input);
  check_config(input);
  if (const auto names = oci::parse_names(input)) {
    SKEP_ASSERT(*oci::parse_names(oci::format_names(*names)) == *names, "names survive the file");
  }
  if (const auto auth = oci::parse_registry_auth(input)) {
    SKEP_ASSERT(auth->username.find(':') == std::string::npos,
                "user and password can be told apart");
    SKEP_ASSERT(!oci::auth_file("h", *auth).empty(), "every credential can be written");
  }
  SKEP_ASSERT(!oci::explain_skopeo(input, {"web", "h", "/certs", true}).message.empty(),
              "errors have words");
  return 0;
}
