#pragma once

// Quantities as people write them: "512m" of memory, "0.5" CPUs, "1h30m". Parsing refuses what it
// does not understand with kInvalidArgument and an example; printing gives what Docker prints.

#include <cstdint>
#include <string>
#include <string_view>

#include "skep/env.h"
#include "skep/result.h"

namespace skep::model {

/// Bytes: a decimal number with an optional binary unit b, k, m, g, t, p (also kb, kib, ...).
Result<std::int64_t> parse_bytes(std::string_view text);
/// "1.5GiB", "512MiB", "42B": four significant digits, binary units.
std::string print_bytes(std::int64_t bytes);
/// Nano CPUs of a decimal number with at most nine decimals: "0.5" is 500,000,000.
Result<std::int64_t> parse_cpus(std::string_view text);
/// "0.5", "2": no trailing zeros.
std::string print_cpus(std::int64_t nano_cpus);
/// Go's duration syntax: "300ms", "1h30m", "1.5s", "-2m", "0". Units ns us µs ms s m h.
Result<Duration> parse_duration(std::string_view text);
/// Go's String(): "1h30m0s", "5s", "300ms", "1.5s", "0s".
std::string print_duration(Duration duration);

}  // namespace skep::model
