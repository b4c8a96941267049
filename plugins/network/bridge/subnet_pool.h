#pragma once

// IPv4 arithmetic of the bridge driver: which subnet a bridge takes, which address an endpoint gets.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "skep/result.h"

namespace skep::bridge {

struct Subnet {
  std::uint32_t base = 0;
  unsigned bits = 0;
  [[nodiscard]] std::uint32_t mask() const { return bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits); }
  [[nodiscard]] bool contains(std::uint32_t address) const { return (address & mask()) == base; }
  [[nodiscard]] bool overlaps(const Subnet& other) const {
    return contains(other.base) || other.contains(base);
  }
  [[nodiscard]] std::uint32_t gateway() const { return base + 1; }
};

std::string to_text(std::uint32_t address);
std::string to_text(const Subnet& subnet);
/// "10.1.2.0/24"; a bare address is a /32. Host bits are cleared.
Result<Subnet> parse_subnet(const std::string& text);

/// The first /20 of 172.18.0.0 to 172.31.255.255, beginning at one chosen by `seed`, that overlaps
/// none of `used`. kResourceExhausted when all do: name a subnet in the configuration.
Result<Subnet> choose_subnet(const std::vector<Subnet>& used, std::uint64_t seed);

/// The next free address after `last`, wrapping round, so that a freed one rests before reuse.
/// Never the network's own, the gateway's or the broadcast address.
std::optional<std::uint32_t> next_address(const Subnet& subnet, const std::set<std::uint32_t>& taken,
                                          std::uint32_t last);

/// 02:42 and the four bytes of the address.
std::string mac_of(std::uint32_t address);

}  // namespace skep::bridge
