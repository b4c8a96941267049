#pragma once

// CRC-32C (Castagnoli), as every record of the log carries it. Uses the processor's instruction
// where there is one; both ways give the same value.

#include <cstdint>
#include <string_view>

namespace skep::raft {

/// Continues `crc` (0 to begin) over `data`.
std::uint32_t crc32c(std::uint32_t crc, std::string_view data);
/// The same without the processor's instruction; for tests.
std::uint32_t crc32c_portable(std::uint32_t crc, std::string_view data);

}  // namespace skep::raft
