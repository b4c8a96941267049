#pragma once

// Which capabilities a container gets: Docker's default 14, plus and minus what the service says.
// Pure.

#include <cstdint>
#include <string>
#include <vector>

#include "skep/result.h"

namespace skep::oci {

/// Bit n stands for capability n, as CapBnd in /proc/self/status.
using CapabilitySet = std::uint64_t;
inline constexpr CapabilitySet kAllCapabilities = (1ULL << 41) - 1;

/// (defaults, or everything with add ALL, or nothing with drop ALL) + add - drop, within
/// `available`. Names with or without "CAP_", any case. kInvalidArgument: no such capability;
/// kFailedPrecondition: it was added by name but this agent does not have it.
Result<std::vector<std::string>> resolve_capabilities(const std::vector<std::string>& add,
                                                      const std::vector<std::string>& drop,
                                                      CapabilitySet available);

/// The CapBnd line of a /proc/PID/status text; everything when it is missing.
CapabilitySet parse_bounding_set(const std::string& status);

}  // namespace skep::oci
