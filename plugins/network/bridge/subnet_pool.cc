#include "plugins/network/bridge/subnet_pool.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace skep::bridge {

std::string to_text(std::uint32_t address) {
  char text[INET_ADDRSTRLEN] = {};
  const std::uint32_t network_order = htonl(address);
  ::inet_ntop(AF_INET, &network_order, text, sizeof(text));
  return text;
}

std::string to_text(const Subnet& subnet) {
  return to_text(subnet.base) + "/" + std::to_string(subnet.bits);
}

Result<Subnet> parse_subnet(const std::string& text) {
  const auto slash = text.find('/');
  in_addr address{};
  Subnet subnet{.base = 0, .bits = 32};
  if (slash != std::string::npos) {
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + slash + 1, end, subnet.bits);
    if (error != std::errc{} || rest != end || subnet.bits > 32) {
      return Error{Code::kInvalidArgument, "'" + text + "' is no subnet; write it like 10.1.2.0/24"};
    }
  }
  if (::inet_pton(AF_INET, text.substr(0, slash).c_str(), &address) != 1) {
    return Error{Code::kInvalidArgument, "'" + text + "' is no subnet; write it like 10.1.2.0/24"};
  }
  subnet.base = ntohl(address.s_addr) & subnet.mask();
  return subnet;
}

Result<Subnet> choose_subnet(const std::vector<Subnet>& used, std::uint64_t seed) {
  constexpr std::uint32_t kFirst = (172u << 24) | (18u << 16);
  constexpr unsigned kBits = 20;
  constexpr std::uint64_t kCandidates = 14 * 16;  // /20s in fourteen /16s
  for (std::uint64_t i = 0; i < kCandidates; ++i) {
    const auto slot = static_cast<std::uint32_t>((seed + i) % kCandidates);
    const Subnet candidate{kFirst + (slot << (32 - kBits)), kBits};
    if (std::none_of(used.begin(), used.end(),
                     [&](const Subnet& other) { return candidate.overlaps(other); })) {
      return candidate;
    }
  }
  return Error{Code::kResourceExhausted,
               "every /20 of 172.18.0.0 to 172.31.255.255 overlaps a route of this node; name one "
               "with subnet = \"...\" under [plugin.bridge] in agentd.toml",
               "NO_FREE_SUBNET"};
}

std::optional<std::uint32_t> next_address(const Subnet& subnet, const std::set<std::uint32_t>& taken,
                                          std::uint32_t last) {
  const std::uint32_t first = subnet.gateway() + 1;
  const std::uint32_t broadcast = subnet.base | ~subnet.mask();
  if (subnet.bits > 30) {
    return std::nullopt;
  }
  const std::uint32_t count = broadcast - first;
  const std::uint32_t begin = last >= first && last < broadcast ? last - first + 1 : 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t candidate = first + (begin + i) % count;
    if (!taken.contains(candidate)) {
      return candidate;
    }
  }
  return std::nullopt;
}

std::string mac_of(std::uint32_t address) {
  char text[18] = {};
  std::snprintf(text, sizeof(text), "02:42:%02x:%02x:%02x:%02x", (address >> 24) & 0xff,
                (address >> 16) & 0xff, (address >> 8) & 0xff, address & 0xff);
  return text;
}

}  // namespace skep::bridge
