#include "core/model/ids.h"

#include <algorithm>
#include <array>

namespace skep::model {

namespace {
constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kHexDigits = "0123456789abcdef";
}  // namespace

std::string new_id(Random& random) {
  std::string bytes = random.bytes(16);
  SKEP_ASSERT(bytes.size() == 16, "Random::bytes returns as many bytes as it was asked for");
  std::string id(kIdLength, '0');
  for (auto digit = id.rbegin(); digit != id.rend(); ++digit) {
    unsigned remainder = 0;  // Long division of the 128-bit number by 36.
    for (char& byte : bytes) {
      const unsigned value = (remainder << 8U) | static_cast<unsigned char>(byte);
      byte = static_cast<char>(value / 36);
      remainder = value % 36;
    }
    *digit = kDigits[remainder];
  }
  return id;
}

std::string new_container_id(Random& random) {
  std::string id;
  id.reserve(kContainerIdLength);
  for (const char byte : random.bytes(kContainerIdLength / 2)) {
    const auto value = static_cast<unsigned char>(byte);
    id.push_back(kHexDigits[value >> 4U]);
    id.push_back(kHexDigits[value & 15U]);
  }
  return id;
}

bool is_id(std::string_view text) {
  return text.size() == kIdLength && text.find_first_not_of(kDigits) == std::string_view::npos;
}

std::string short_id(std::string_view id) {
  return std::string(id.substr(0, 12));
}

}  // namespace skep::model
