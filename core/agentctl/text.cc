#include "core/agentctl/text.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <ctime>
#include <limits>
#include <optional>

#include "core/model/units.h"

namespace skep::ctl {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t at; (at = text.find(separator)) != std::string_view::npos;
       text.remove_prefix(at + 1)) {
    parts.emplace_back(text.substr(0, at));
  }
  parts.emplace_back(text);
  return parts;
}

Result<std::vector<std::string>> split_csv(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  if (quoted) {
    return Error{Code::kInvalidArgument, fmt::format("a quote is never closed in '{}'", line)};
  }
  return fields;
}

Result<std::vector<std::string>> split_shell_words(std::string_view line) {
  std::vector<std::string> words;
  bool open = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
      open = false;
      continue;
    }
    if (!open) {
      words.emplace_back();
      open = true;
    }
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      words.back() += line[++i];
    } else {
      words.back() += c;
    }
  }
  if (quote != 0) {
    return Error{Code::kInvalidArgument, fmt::format("a quote is never closed in '{}'", line)};
  }
  return words;
}

std::string human_duration(Duration duration) {
  using namespace std::chrono;  // NOLINT(google-build-using-namespace): units of this function
  const auto seconds_count = duration_cast<seconds>(duration).count();
  const auto hours_count = (seconds_count + 1800) / 3600;
  if (seconds_count < 1) {
    return "Less than a second";
  }
  if (seconds_count == 1) {
    return "1 second";
  }
  if (seconds_count < 60) {
    return fmt::format("{} seconds", seconds_count);
  }
  if (seconds_count < 120) {
    return "About a minute";
  }
  if (seconds_count < 3600) {
    return fmt::format("{} minutes", seconds_count / 60);
  }
  if (hours_count == 1) {
    return "About an hour";
  }
  if (hours_count < 48) {
    return fmt::format("{} hours", hours_count);
  }
  if (hours_count < 24 * 7 * 2) {
    return fmt::format("{} days", hours_count / 24);
  }
  if (hours_count < 24 * 30 * 2) {
    return fmt::format("{} weeks", hours_count / 24 / 7);
  }
  if (hours_count < 24 * 365 * 2) {
    return fmt::format("{} months", hours_count / 24 / 30);
  }
  return fmt::format("{} years", hours_count / 24 / 365);
}

namespace {
constexpr std::int64_t kSecond = 1'000'000'000;

std::tm utc(WallTime time, std::int64_t& nanoseconds) {
  std::int64_t whole = time / kSecond;
  nanoseconds = time % kSecond;
  if (nanoseconds < 0) {
    nanoseconds += kSecond;
    --whole;
  }
  const std::time_t t = static_cast<std::time_t>(whole);
  std::tm parts{};
  gmtime_r(&t, &parts);
  return parts;
}
}  // namespace

std::string print_time(WallTime time) {
  if (time == 0) {
    return "0001-01-01T00:00:00Z";
  }
  std::int64_t nanoseconds = 0;
  const std::tm t = utc(time, nanoseconds);
  std::string fraction = nanoseconds == 0 ? "" : fmt::format(".{:09}", nanoseconds);
  while (!fraction.empty() && fraction.back() == '0') {
    fraction.pop_back();
  }
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}Z", t.tm_year + 1900, t.tm_mon + 1,
                     t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, fraction);
}

std::string print_time_long(WallTime time) {
  std::int64_t nanoseconds = 0;
  const std::tm t = utc(time, nanoseconds);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} +0000 UTC", t.tm_year + 1900,
                     t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
}

namespace {
// "[.digits](Z|+hh:mm|-hh:mm)" behind the seconds of an RFC 3339 time; nullopt when malformed.
std::optional<std::int64_t> fraction_and_zone(std::string_view rest) {
  std::int64_t nanoseconds = 0;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    std::int64_t unit = kSecond / 10;
    while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
      nanoseconds += (rest.front() - '0') * unit;
      unit /= 10;
      rest.remove_prefix(1);
    }
  }
  if (rest.empty() || rest == "Z") {
    return nanoseconds;
  }
  int hours = 0;
  int minutes = 0;
  char sign = 0;
  char end = 0;
  if (std::sscanf(std::string(rest).c_str(), "%c%2d:%2d%c", &sign, &hours, &minutes, &end) != 3 ||
      (sign != '+' && sign != '-')) {
    return std::nullopt;
  }
  const std::int64_t offset = (hours * 60 + minutes) * 60 * kSecond;
  return nanoseconds - (sign == '+' ? offset : -offset);
}
}  // namespace

Result<WallTime> parse_moment(std::string_view text, WallTime now) {
  const Error bad{
      Code::kInvalidArgument,
      fmt::format("'{}' is not a time: give RFC 3339 (2026-11-21T05:00:00Z), unix seconds or a "
                  "duration before now (10m)",
                  text),
      "USAGE"};
  std::int64_t whole = 0;
  if (const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
      error == std::errc{} && end == text.data() + text.size()) {
    return whole < 0 || whole > std::numeric_limits<std::int64_t>::max() / kSecond
               ? Result<WallTime>(bad)
               : whole * kSecond;
  }
  if (auto duration = model::parse_duration(text)) {
    return now - duration->count();
  }
  std::tm t{};
  int used = 0;
  const std::string copy(text);
  if (std::sscanf(copy.c_str(), "%4d-%2d-%2d%n", &t.tm_year, &t.tm_mon, &t.tm_mday, &used) != 3) {
    return bad;
  }
  std::string_view rest = std::string_view(copy).substr(static_cast<std::size_t>(used));
  if (!rest.empty()) {
    int more = 0;
    if (std::sscanf(std::string(rest).c_str(), "T%2d:%2d:%2d%n", &t.tm_hour, &t.tm_min, &t.tm_sec,
                    &more) != 3) {
      return bad;
    }
    rest.remove_prefix(static_cast<std::size_t>(more));
  }
  t.tm_year -= 1900;
  t.tm_mon -= 1;
  const auto shift = fraction_and_zone(rest);
  const auto seconds = static_cast<std::int64_t>(timegm(&t));
  constexpr std::int64_t kSecondsMax = std::numeric_limits<WallTime>::max() / kSecond - 2 * 86'400;
  if (!shift || seconds > kSecondsMax || seconds < -kSecondsMax) {  // nanoseconds reach from 1677 to 2262
    return bad;
  }
  return seconds * kSecond + *shift;
}

std::string decimal_size(std::int64_t bytes) {
  constexpr std::string_view kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000.0 && unit + 1 < std::size(kUnits)) {
    value /= 1000.0;
    ++unit;
  }
  return fmt::format("{:.3g}{}", value, kUnits[unit]);
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (const char c : text) {
    width += (static_cast<unsigned char>(c) & 0xC0) == 0x80 ? 0 : 1;
  }
  return width;
}

std::string ellipsis(std::string_view text, std::size_t columns) {
  if (display_width(text) <= columns) {
    return std::string(text);
  }
  std::size_t bytes = 0;
  for (std::size_t seen = 0; bytes < text.size(); ++bytes) {
    if ((static_cast<unsigned char>(text[bytes]) & 0xC0) != 0x80 && seen++ == columns - 1) {
      break;
    }
  }
  return std::string(text.substr(0, bytes)) + "…";
}

}  // namespace skep::ctl
