#pragma once

// An image's configuration blob (Docker's or OCI's, which differ in the health check only). Pure.

#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"
#include "skep/runtime.pb.h"

namespace skep::oci {

inline constexpr std::size_t kConfigBytesMax = 8u << 20;

/// Reads the blob into an Image without tags, digests and size. `layers` are its diff ids.
/// kInvalidArgument: not a configuration, or one that contradicts itself.
Result<runtime::v1::Image> parse_image_config(std::string_view blob);

/// "2026-01-02T03:04:05.6Z" in nanoseconds since 1970; 0 for text that is no RFC 3339 time.
std::int64_t parse_rfc3339(std::string_view text);

}  // namespace skep::oci
