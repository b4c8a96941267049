#include "core/model/units.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <optional>

namespace skep::model {

namespace {

__extension__ using Wide = __int128;  // No sum or product of two 64-bit numbers overflows.
constexpr Wide kInt64Max = std::numeric_limits<std::int64_t>::max();
constexpr int kDecimalsMax = 9;
constexpr std::int64_t kDecimalScale = 1'000'000'000;

Error bad(std::string_view what, std::string_view text, std::string_view example) {
  return Error{Code::kInvalidArgument,
               std::string(what) + " '" + std::string(text) + "' is invalid: " +
                   std::string(example),
               "INVALID_QUANTITY"};
}

/// A decimal number in billionths, taken from the front of `text`. Absent when there is none or it
/// is too large; digits behind the ninth decimal are dropped.
std::optional<Wide> take_decimal(std::string_view& text) {
  Wide value = 0;
  bool digits = false;
  int decimals = -1;
  while (!text.empty()) {
    const char c = text.front();
    if (c == '.' && decimals < 0) {
      decimals = 0;
    } else if (c >= '0' && c <= '9') {
      digits = true;
      if (decimals < kDecimalsMax) {
        value = value * 10 + (c - '0');
        decimals += decimals >= 0 ? 1 : 0;
      }
      if (value > kInt64Max * kDecimalScale) {
        return std::nullopt;
      }
    } else {
      break;
    }
    text.remove_prefix(1);
  }
  if (!digits) {
    return std::nullopt;
  }
  for (int i = std::max(decimals, 0); i < kDecimalsMax; ++i) {
    value *= 10;
    if (value > kInt64Max * kDecimalScale) {
      return std::nullopt;
    }
  }
  return value;
}

std::optional<std::int64_t> byte_unit(std::string_view unit) {
  constexpr std::string_view kPrefixes = "kmgtp";
  std::string name;
  for (const char c : unit) {
    name.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
  }
  if (name.empty() || name == "b") {
    return 1;
  }
  const std::size_t at = kPrefixes.find(name.front());
  const std::string_view rest = std::string_view(name).substr(1);
  if (at == std::string_view::npos || !(rest.empty() || rest == "b" || rest == "ib")) {
    return std::nullopt;
  }
  return std::int64_t{1} << (10 * (at + 1));
}

std::optional<std::int64_t> take_time_unit(std::string_view& text) {
  struct Unit {
    std::string_view name;
    std::int64_t ns;
  };
  constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                           {"us", 1'000},
                                           {"\xc2\xb5s", 1'000},
                                           {"\xce\xbcs", 1'000},
                                           {"ms", 1'000'000},
                                           {"s", 1'000'000'000},
                                           {"m", 60'000'000'000},
                                           {"h", 3'600'000'000'000}}};
  for (const Unit& unit : kUnits) {
    if (text.starts_with(unit.name)) {
      text.remove_prefix(unit.name.size());
      return unit.ns;
    }
  }
  return std::nullopt;
}

/// `value` billionths without trailing zeros: "1.5", "2".
std::string print_billionths(std::int64_t value) {
  std::string text = std::to_string(value / kDecimalScale);
  if (std::int64_t rest = value % kDecimalScale; rest != 0) {
    std::array<char, 16> digits{};
    std::snprintf(digits.data(), digits.size(), ".%09lld", static_cast<long long>(rest));
    text += digits.data();
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text;
}

}  // namespace

Result<std::int64_t> parse_bytes(std::string_view text) {
  constexpr std::string_view kExample = "give bytes such as 512m, 1.5g or 1048576";
  std::string_view rest = text;
  const auto number = take_decimal(rest);
  while (!rest.empty() && rest.front() == ' ') {
    rest.remove_prefix(1);
  }
  const auto unit = byte_unit(rest);
  if (!number || !unit) {
    return bad("size", text, kExample);
  }
  const Wide bytes = *number / kDecimalScale * *unit + *number % kDecimalScale * *unit / kDecimalScale;
  if (bytes > kInt64Max) {
    return bad("size", text, "it is too large");
  }
  return static_cast<std::int64_t>(bytes);
}

std::string print_bytes(std::int64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024.0 && unit + 1 < kUnits.size()) {
    value /= 1024.0;
    ++unit;
  }
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.4g%s", value, kUnits[unit]);
  return text.data();
}

Result<std::int64_t> parse_cpus(std::string_view text) {
  std::string_view rest = text;
  const std::size_t dot = text.find('.');
  const auto number = take_decimal(rest);
  if (!number || !rest.empty() || *number > kInt64Max) {
    return bad("number of CPUs", text, "give a decimal number such as 0.5 or 2");
  }
  if (dot != std::string_view::npos && text.size() - dot - 1 > kDecimalsMax) {
    return bad("number of CPUs", text, "at most nine decimals are possible");
  }
  return static_cast<std::int64_t>(*number);
}

std::string print_cpus(std::int64_t nano_cpus) {
  return print_billionths(nano_cpus);
}

Result<Duration> parse_duration(std::string_view text) {
  constexpr std::string_view kExample = "give a duration such as 500ms, 10s or 1h30m";
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) {
    rest.remove_prefix(1);
  }
  if (rest == "0") {
    return Duration(0);
  }
  if (rest.empty()) {
    return bad("duration", text, kExample);
  }
  Wide total = 0;
  while (!rest.empty()) {
    const auto number = take_decimal(rest);
    const auto unit = number ? take_time_unit(rest) : std::nullopt;
    if (!unit) {
      return bad("duration", text, kExample);
    }
    total += *number / kDecimalScale * *unit + *number % kDecimalScale * *unit / kDecimalScale;
    if (total > kInt64Max) {
      return bad("duration", text, "it is too long");
    }
  }
  const auto ns = static_cast<std::int64_t>(total);
  return Duration(negative ? -ns : ns);
}

std::string print_duration(Duration duration) {
  const std::int64_t count = duration.count();
  if (count == 0) {
    return "0s";
  }
  // The most negative value has no positive twin: go through the unsigned type.
  auto ns = count < 0 ? ~static_cast<std::uint64_t>(count) + 1 : static_cast<std::uint64_t>(count);
  std::string text = count < 0 ? "-" : "";
  const auto decimal = [](std::uint64_t value, std::uint64_t unit) {
    std::string whole = std::to_string(value / unit);
    if (std::uint64_t rest = value % unit; rest != 0) {
      std::string digits = std::to_string(unit + rest).substr(1);
      digits.erase(digits.find_last_not_of('0') + 1);
      whole += "." + digits;
    }
    return whole;
  };
  if (ns < 1'000) {
    return text + std::to_string(ns) + "ns";
  }
  if (ns < 1'000'000) {
    return text + decimal(ns, 1'000) + "\xc2\xb5s";
  }
  if (ns < 1'000'000'000) {
    return text + decimal(ns, 1'000'000) + "ms";
  }
  const std::uint64_t minutes = ns / 60'000'000'000U;
  if (minutes >= 60) {
    text += std::to_string(minutes / 60) + "h";
  }
  if (minutes > 0) {
    text += std::to_string(minutes % 60) + "m";
  }
  return text + decimal(ns % 60'000'000'000U, 1'000'000'000) + "s";
}

}  // namespace skep::model
