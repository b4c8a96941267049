#pragma once

// Short stable names for kernel objects. FNV-1a, widened by a second lane; not for security.

#include <cstdint>
#include <string>
#include <string_view>

namespace skep::lib {

inline std::uint64_t hash64(std::string_view text, std::uint64_t basis = 0xcbf29ce484222325ULL) {
  std::uint64_t hash = basis;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  // A final mix (splitmix64's): FNV's high bits are weak on short input.
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
  return hash ^ (hash >> 31);
}

/// `digits` (at most 32) hex digits.
inline std::string short_hash(std::string_view text, std::size_t digits) {
  static constexpr char kHex[] = "0123456789abcdef";
  const std::uint64_t lanes[2] = {hash64(text), hash64(text, 0x6c62272e07bb0142ULL)};
  std::string out;
  for (std::size_t i = 0; i < digits; ++i) {
    out += kHex[(lanes[i / 16] >> (4 * (i % 16))) & 0xf];
  }
  return out;
}

}  // namespace skep::lib
