#include "plugins/runtime/oci/images/manifest.h"

#include <boost/json.hpp>

#include "plugins/runtime/oci/images/digest.h"
#include "plugins/runtime/oci/images/json_read.h"

namespace skep::oci {
namespace {

namespace bj = boost::json;

constexpr std::size_t kChoicesMax = 1000;

Error bad(std::string why) {
  return Error{Code::kInvalidArgument, std::move(why)};
}

Result<Descriptor> read_descriptor(const bj::object& object) {
  Descriptor out;
  SKEP_TRY_ASSIGN(out.media_type, json::text(object, "mediaType"));
  SKEP_TRY_ASSIGN(out.digest, json::text(object, "digest"));
  SKEP_TRY_ASSIGN(const std::int64_t size, json::integer(object, "size"));
  if (!is_digest(out.digest)) {
    return bad("'" + out.digest.substr(0, 100) + "' is not a sha256 digest");
  }
  if (size < 0) {
    return bad("'" + out.digest + "' has a negative size");
  }
  out.size = static_cast<std::uint64_t>(size);
  return out;
}

Result<const bj::object*> as_object(const bj::value& value, std::string_view what) {
  if (!value.is_object()) {
    return bad(std::string(what) + " is not an object");
  }
  return &value.get_object();
}

Status check_layer(const Descriptor& layer) {
  const std::string& type = layer.media_type;
  if (type.find("encrypted") != std::string::npos) {
    return bad("layer '" + layer.digest + "' is encrypted, which is not supported");
  }
  if (type.find("foreign") != std::string::npos ||
      type.find("nondistributable") != std::string::npos) {
    return bad("layer '" + layer.digest + "' lies outside the registry, which is not supported");
  }
  if (!type.empty() && type.find("tar") == std::string::npos) {
    return bad("'" + type.substr(0, 100) +
               "' is not a file system layer: this is not a container image");
  }
  return ok();
}

Status read_layers(const bj::array& array, Manifest& out) {
  if (array.size() > kLayersMax) {
    return bad("more than " + std::to_string(kLayersMax) + " layers, which overlayfs cannot stack");
  }
  for (const bj::value& value : array) {
    SKEP_TRY_ASSIGN(const bj::object* const object, as_object(value, "a layer"));
    SKEP_TRY_ASSIGN(Descriptor layer, read_descriptor(*object));
    SKEP_TRY(check_layer(layer));
    out.layers.push_back(std::move(layer));
  }
  return ok();
}

Status read_choices(const bj::array& array, Manifest& out) {
  if (array.empty() || array.size() > kChoicesMax) {
    return bad("a list of " + std::to_string(array.size()) + " platforms; 1 to " +
               std::to_string(kChoicesMax) + " are possible");
  }
  for (const bj::value& value : array) {
    SKEP_TRY_ASSIGN(const bj::object* const object, as_object(value, "a platform's manifest"));
    Manifest::Choice choice;
    SKEP_TRY_ASSIGN(choice.manifest, read_descriptor(*object));
    SKEP_TRY_ASSIGN(const bj::object* const platform, json::member(*object, "platform"));
    if (platform != nullptr) {
      SKEP_TRY_ASSIGN(choice.platform.os, json::text(*platform, "os"));
      SKEP_TRY_ASSIGN(choice.platform.architecture, json::text(*platform, "architecture"));
      SKEP_TRY_ASSIGN(choice.platform.variant, json::text(*platform, "variant"));
    }
    out.choices.push_back(std::move(choice));
  }
  return ok();
}

Result<Manifest> read_manifest(const bj::object& object) {
  SKEP_TRY_ASSIGN(const std::int64_t version, json::integer(object, "schemaVersion"));
  if (version != 2) {
    return bad("schema version " + std::to_string(version) +
               "; only 2 is supported: push the image again with a newer tool");
  }
  Manifest out;
  SKEP_TRY_ASSIGN(const bj::array* const choices, json::list(object, "manifests"));
  if (choices != nullptr) {
    SKEP_TRY(read_choices(*choices, out));
    return out;
  }
  SKEP_TRY_ASSIGN(const bj::object* const config, json::member(object, "config"));
  if (config == nullptr) {
    return bad("neither 'manifests' nor 'config'");
  }
  SKEP_TRY_ASSIGN(out.config, read_descriptor(*config));
  SKEP_TRY_ASSIGN(const bj::array* const layers, json::list(object, "layers"));
  if (layers != nullptr) {
    SKEP_TRY(read_layers(*layers, out));
  }
  return out;
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view text) {
  SKEP_TRY_ASSIGN(const bj::object object,
                  json::parse_object(text, "the manifest", kManifestBytesMax));
  Result<Manifest> manifest = read_manifest(object);
  if (!manifest) {
    return std::move(manifest).error().with_context("manifest");
  }
  return manifest;
}

Result<Descriptor> choose_platform(const Manifest& list, const Platform& wanted) {
  const Manifest::Choice* found = nullptr;
  std::string there;
  for (const Manifest::Choice& choice : list.choices) {
    const Platform& has = choice.platform;
    there += (there.empty() ? "" : ", ") + has.os + "/" + has.architecture +
             (has.variant.empty() ? "" : "/" + has.variant);
    if (has.os != wanted.os || has.architecture != wanted.architecture) {
      continue;
    }
    if (found == nullptr ||
        (found->platform.variant != wanted.variant && has.variant == wanted.variant)) {
      found = &choice;
    }
  }
  if (found == nullptr) {
    return Error{Code::kNotFound,
                 "no image for " + wanted.os + "/" + wanted.architecture + "; there are " +
                     there.substr(0, 500),
                 "IMAGE_PLATFORM_MISSING"};
  }
  return found->manifest;
}

std::string_view this_architecture() {
#if defined(__x86_64__)
  return "amd64";
#elif defined(__aarch64__)
  return "arm64";
#elif defined(__arm__)
  return "arm";
#elif defined(__riscv)
  return "riscv64";
#elif defined(__powerpc64__)
  return "ppc64le";
#elif defined(__s390x__)
  return "s390x";
#else
#error "name this architecture as Go does"
#endif
}

}  // namespace skep::oci
