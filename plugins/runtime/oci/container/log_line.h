#pragma once

// Lines of a container's log as conmon writes them (the CRI format):
//
//   line    = time SP stream SP tag SP content LF
//   time    = RFC 3339 with nanoseconds and offset, 2026-11-21T05:07:58.615470919+00:00
//   stream  = "stdout" | "stderr"
//   tag     = "F" (the line ends here) | "P" (it goes on in the next record of this stream)
//
// Pure.

#include <cstdint>
#include <optional>
#include <string_view>

namespace skep::oci {

struct LogRecord {
  std::int64_t timestamp = 0;  ///< ns since 1970
  std::uint32_t stream = 1;    ///< 1 stdout, 2 stderr
  bool partial = false;
  std::string_view content;  ///< into the parsed text
};

/// `line` without its LF. nullopt: not a record (a write that a full disk cut short).
std::optional<LogRecord> parse_log_line(std::string_view line);

/// The time at the beginning of `text` and how many characters it took; nullopt: no time.
std::optional<std::int64_t> parse_log_time(std::string_view text);

/// Whether the record that begins with `head` ends a line; any head of 64 characters is enough.
bool ends_line(std::string_view head);

}  // namespace skep::oci
