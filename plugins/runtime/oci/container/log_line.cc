#include "plugins/runtime/oci/container/log_line.h"

#include <charconv>

namespace skep::oci {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

/// Days since 1970-01-01 of a date in the Gregorian calendar (Howard Hinnant's algorithm).
std::int64_t days_from_civil(std::int64_t year, std::int64_t month, std::int64_t day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const std::int64_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

std::optional<std::int64_t> digits(std::string_view text, std::size_t at, std::size_t count) {
  std::int64_t value = 0;
  if (at + count > text.size()) {
    return std::nullopt;
  }
  const char* const end = text.data() + at + count;
  const auto parsed = std::from_chars(text.data() + at, end, value);
  if (parsed.ec != std::errc{} || parsed.ptr != end || value < 0) {
    return std::nullopt;
  }
  return value;
}

/// "Z", "+02:00" or "-05:30" in seconds.
std::optional<std::int64_t> offset_of(std::string_view text) {
  if (text == "Z") {
    return 0;
  }
  const auto hours = digits(text, 1, 2);
  const auto minutes = digits(text, 4, 2);
  if (text.size() != 6 || text[3] != ':' || !hours || !minutes ||
      (text[0] != '+' && text[0] != '-')) {
    return std::nullopt;
  }
  return (text[0] == '-' ? -1 : 1) * (*hours * 3600 + *minutes * 60);
}

}  // namespace

std::optional<std::int64_t> parse_log_time(std::string_view text) {
  const auto year = digits(text, 0, 4);
  const auto month = digits(text, 5, 2);
  const auto day = digits(text, 8, 2);
  const auto hour = digits(text, 11, 2);
  const auto minute = digits(text, 14, 2);
  const auto second = digits(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second || text[4] != '-' ||
      text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  std::size_t at = 19;
  std::int64_t nanoseconds = 0;
  if (at < text.size() && text[at] == '.') {
    std::int64_t unit = kSecond / 10;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) {
      nanoseconds += (text[at] - '0') * unit;
    }
  }
  const auto offset = offset_of(text.substr(at));
  if (!offset) {
    return std::nullopt;
  }
  const std::int64_t seconds =
      days_from_civil(*year, *month, *day) * 86400 + *hour * 3600 + *minute * 60 + *second - *offset;
  constexpr std::int64_t kSecondsMax = 9'200'000'000;  // more does not fit into nanoseconds
  if (seconds > kSecondsMax || seconds < -kSecondsMax) {
    return std::nullopt;
  }
  return seconds * kSecond + nanoseconds;
}

std::optional<LogRecord> parse_log_line(std::string_view line) {
  const auto first = line.find(' ');
  const auto second = first == line.npos ? first : line.find(' ', first + 1);
  const auto third = second == line.npos ? second : line.find(' ', second + 1);
  if (second == line.npos) {
    return std::nullopt;
  }
  const auto time = parse_log_time(line.substr(0, first));
  const std::string_view stream = line.substr(first + 1, second - first - 1);
  const std::string_view tag = line.substr(second + 1, third == line.npos ? third : third - second - 1);
  if (!time || (stream != "stdout" && stream != "stderr") || (tag != "F" && tag != "P")) {
    return std::nullopt;
  }
  LogRecord record;
  record.timestamp = *time;
  record.stream = stream == "stdout" ? 1 : 2;
  record.partial = tag == "P";
  record.content = third == line.npos ? std::string_view() : line.substr(third + 1);
  return record;
}

bool ends_line(std::string_view head) {
  const auto first = head.find(' ');
  const auto second = first == head.npos ? first : head.find(' ', first + 1);
  return second != head.npos && second + 1 < head.size() && head[second + 1] == 'F';
}

}  // namespace skep::oci
