#pragma once

// Manifests as registries and layouts keep them: Docker schema 2 and OCI, single or a list per
// platform. Pure: bytes in, facts out.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"

namespace skep::oci {

inline constexpr std::size_t kManifestBytesMax = 4u << 20;  ///< as registries enforce
inline constexpr std::size_t kLayersMax = 500;              ///< overlayfs stacks no more

struct Descriptor {
  std::string media_type;
  std::string digest;  ///< is_digest()
  std::uint64_t size = 0;
};

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;  ///< "v8"; often empty
};

struct Manifest {
  struct Choice {
    Descriptor manifest;
    Platform platform;
  };
  std::vector<Choice> choices;  ///< not empty: this is a list, and the rest is empty
  Descriptor config;
  std::vector<Descriptor> layers;  ///< bottom first
};

/// kInvalidArgument: not a manifest, a schema 1 manifest, a layer that is not a tar (encrypted,
/// foreign, an artifact such as a chart), too many layers.
Result<Manifest> parse_manifest(std::string_view json);

/// The entry for a platform; an entry without variant fits any, an equal variant is preferred.
/// kNotFound: none, naming what there is.
Result<Descriptor> choose_platform(const Manifest& list, const Platform& wanted);

/// Go's name of the architecture this program was built for ("amd64").
std::string_view this_architecture();

}  // namespace skep::oci
