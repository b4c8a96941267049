#pragma once

// Small texts: splitting, relative times, sizes as Docker's tables print them.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "skep/env.h"
#include "skep/result.h"

namespace skep::ctl {

std::vector<std::string> split(std::string_view text, char separator);
/// Fields of one line of comma-separated values with "quotes". kInvalidArgument: a quote is open.
Result<std::vector<std::string>> split_csv(std::string_view line);
/// A command typed as one string, split as a shell would (quotes and backslashes, no expansion).
Result<std::vector<std::string>> split_shell_words(std::string_view line);

/// "Less than a second", "5 seconds", "About a minute", "3 hours", "2 weeks": Docker's words.
std::string human_duration(Duration duration);
/// RFC 3339 with nanoseconds in UTC, as Docker's JSON has it: "2026-11-21T05:00:00.123456789Z";
/// "0001-01-01T00:00:00Z" for 0.
std::string print_time(WallTime time);
/// "2026-11-21 05:00:00 +0000 UTC"
std::string print_time_long(WallTime time);
/// A moment as --since takes it: RFC 3339, unix seconds, or a duration before `now` ("42m").
Result<WallTime> parse_moment(std::string_view text, WallTime now);
/// "4.27MB": powers of 1000, as image sizes are shown.
std::string decimal_size(std::int64_t bytes);
/// At most `columns` columns, the last one "…" when cut (UTF-8 aware).
std::string ellipsis(std::string_view text, std::size_t columns);
/// Columns a terminal needs for it (code points of UTF-8).
std::size_t display_width(std::string_view text);

}  // namespace skep::ctl
