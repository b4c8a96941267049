#include "core/agentd/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <optional>

#include "core/link/tcp_socket.h"
#include "skep/posix_env.h"

namespace skep::agentd {
namespace {

/// An IP address as everybody writes it; nullopt: it is none.
std::optional<std::string> plain_ip(const std::string& text) {
  char buffer[sizeof(in6_addr)];
  char plain[INET6_ADDRSTRLEN];
  for (const int family : {AF_INET, AF_INET6}) {
    if (::inet_pton(family, text.c_str(), buffer) == 1) {
      return ::inet_ntop(family, buffer, plain, sizeof(plain));
    }
  }
  return std::nullopt;
}

struct Given {
  std::string host;
  std::optional<std::uint16_t> port = std::nullopt;
};

Result<Given> split(const std::string& given, const char* flag) {
  if (plain_ip(given)) {
    return Given{given};  // an IPv6 address holds colons that are no port
  }
  Given out{given};
  if (const auto colon = given.rfind(':'); colon != std::string::npos && !given.ends_with(']')) {
    std::uint16_t port = 0;
    const char* end = given.data() + given.size();
    const auto [rest, error] = std::from_chars(given.data() + colon + 1, end, port);
    if (error != std::errc{} || rest != end || port == 0) {
      return Error{Code::kInvalidArgument,
                   std::string(flag) + ": '" + given + "' has no valid port; write IP:PORT or INTERFACE:PORT with a " +
                       "port of 1 to 65535, or leave it out for " + std::to_string(link::kManagementPort),
                   "BAD_ADDRESS"};
    }
    out = {given.substr(0, colon), port};
  }
  if (out.host.size() > 2 && out.host.front() == '[' && out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  return out;
}

bool made_by_a_tool(const std::string& name) {
  for (const char* prefix : {"docker", "br-", "veth", "skb", "sv", "cni", "virbr"}) {
    if (name.starts_with(prefix)) {
      return true;
    }
  }
  return false;
}

std::string list_text(const std::vector<InterfaceAddress>& addresses) {
  std::string out;
  for (const auto& address : addresses) {
    out += (out.empty() ? "" : ", ") + address.address + " on " + address.interface;
  }
  return out;
}

std::string there_are(const std::vector<InterfaceAddress>& addresses) {
  return addresses.empty() ? "" : "; there are " + list_text(addresses);
}

Error bad_address(const std::string& message) { return Error{Code::kInvalidArgument, message, "BAD_ADDRESS"}; }

bool is_loopback(const std::string& ip) { return ip.starts_with("127.") || ip == "::1"; }
bool is_any(const std::string& ip) { return ip == "0.0.0.0" || ip == "::"; }
/// Of many machines, none of which answers a connection.
bool is_multicast(const std::string& ip) {
  in_addr v4{};
  return (ip.starts_with("ff") && ip.find(':') == 4) || ip == "255.255.255.255" ||
         (::inet_pton(AF_INET, ip.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 28U) == 0xe);
}

/// The one of `fitting` that counts; IPv6 addresses only where there is nothing else.
Result<std::string> only_one(std::vector<InterfaceAddress> fitting) {
  if (std::any_of(fitting.begin(), fitting.end(), [](const auto& address) { return !address.ipv6; })) {
    std::erase_if(fitting, [](const auto& address) { return address.ipv6; });
  }
  if (fitting.size() == 1) {
    return fitting.front().address;
  }
  return Error{Code::kInvalidArgument,
               "could not choose an IP address to advertise since this system has multiple addresses (" +
                   list_text(fitting) + "): name one with --advertise-addr",
               "SEVERAL_ADDRESSES"};
}

/// The IP that `host` (not empty) names, or that its interface has.
Result<std::string> ip_of(const std::string& host, const std::vector<InterfaceAddress>& ours, const char* flag) {
  if (auto ip = plain_ip(host)) {
    if (is_multicast(*ip)) {
      return bad_address(std::string(flag) + ": '" + host + "' belongs to no single machine: give one of its own" +
                         there_are(ours));
    }
    return *std::move(ip);
  }
  std::vector<InterfaceAddress> fitting;
  std::copy_if(ours.begin(), ours.end(), std::back_inserter(fitting),
               [&host](const auto& address) { return address.interface == host; });
  if (fitting.empty()) {
    return bad_address(std::string(flag) + ": '" + host + "' is no IP address and no interface of this node with one" +
                       there_are(ours));
  }
  return only_one(std::move(fitting));
}

Result<std::string> default_advertised(const std::string& listened, const std::string& towards,
                                       const std::vector<InterfaceAddress>& ours) {
  if (!listened.empty() && !is_any(listened)) {
    return listened;
  }
  if (!towards.empty()) {
    return towards;
  }
  std::vector<InterfaceAddress> fitting;
  std::copy_if(ours.begin(), ours.end(), std::back_inserter(fitting),
               [](const auto& address) { return !address.special; });
  return fitting.empty() ? std::string("127.0.0.1") : only_one(std::move(fitting));
}

/// Others will be told `advertised`: they must have a chance. `listened` is empty when it was not given.
Status check_reachable(const std::string& advertised, const std::string& listened, const std::string& towards,
                       const std::vector<InterfaceAddress>& ours) {
  if (is_any(advertised)) {
    return bad_address("--advertise-addr: '" + advertised + "' tells nobody where this node is: give one of its own " +
                       "addresses" + there_are(ours));
  }
  const bool others_come = (!listened.empty() && !is_loopback(listened)) || (!towards.empty() && !is_loopback(towards));
  if (is_loopback(advertised) && others_come) {
    return bad_address("--advertise-addr: '" + advertised + "' is reached from this machine only: give an address " +
                       "that the other nodes reach" + there_are(ours));
  }
  if (!is_loopback(advertised) && is_loopback(listened)) {
    return bad_address("--listen-addr: '" + listened + "' is reached from this machine only, and the others are told " +
                       advertised + ": leave it out, or advertise it too");
  }
  const bool own = is_loopback(advertised) || std::any_of(ours.begin(), ours.end(), [&](const auto& address) {
                     return address.address == advertised;
                   });
  if (!own && listened.empty()) {
    return bad_address("--advertise-addr: '" + advertised + "' is no address of this machine" + there_are(ours) +
                       ". Where packets to it are passed on to this machine, give --listen-addr too, as in "
                       "--listen-addr 0.0.0.0");
  }
  return ok();
}

}  // namespace

Result<std::vector<InterfaceAddress>> machine_addresses() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) {
    return errno_error(errno, "list the addresses of this machine");
  }
  std::vector<InterfaceAddress> out;
  for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) {
      continue;
    }
    const int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) {
      continue;
    }
    if (family == AF_INET6 &&
        IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr)->sin6_addr)) {
      continue;
    }
    char text[INET6_ADDRSTRLEN] = {};
    const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (::getnameinfo(entry->ifa_addr, size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) == 0 &&
        !is_loopback(text)) {
      const bool special = (entry->ifa_flags & IFF_LOOPBACK) != 0 || made_by_a_tool(entry->ifa_name);
      out.push_back({entry->ifa_name, text, family == AF_INET6, special});
    }
  }
  ::freeifaddrs(first);
  return out;
}

Result<NodeAddresses> choose_node_addresses(const WantedAddresses& wanted,
                                            const std::vector<InterfaceAddress>& ours) {
  SKEP_TRY_ASSIGN(const Given advertise, split(wanted.advertise, "--advertise-addr"));
  SKEP_TRY_ASSIGN(const Given listen, split(wanted.listen, "--listen-addr"));
  std::string listened;
  if (!listen.host.empty()) {
    SKEP_TRY_ASSIGN(listened, ip_of(listen.host, ours, "--listen-addr"));
  }
  SKEP_TRY_ASSIGN(const std::string advertised,
                  advertise.host.empty() ? default_advertised(listened, wanted.towards, ours)
                                         : ip_of(advertise.host, ours, "--advertise-addr"));
  SKEP_TRY(check_reachable(advertised, listened, wanted.towards, ours));
  if (listened.empty()) {
    listened = is_loopback(advertised) ? advertised : advertised.find(':') == std::string::npos ? "0.0.0.0" : "::";
  }
  const std::uint16_t port = advertise.port.value_or(listen.port.value_or(link::kManagementPort));
  return NodeAddresses{link::to_text({advertised, port}), link::to_text({listened, listen.port.value_or(port)})};
}

std::string address_towards(const std::string& host) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(link::kManagementPort).c_str(), &hints, &found) != 0) {
    return {};
  }
  char text[INET6_ADDRSTRLEN] = {};
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  // Connecting a datagram socket sends nothing; the kernel only picks the route.
  const int fd = ::socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::connect(fd, found->ai_addr, found->ai_addrlen) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0 ||
      ::getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) != 0) {
    text[0] = '\0';
  }
  if (fd >= 0) {
    ::close(fd);
  }
  ::freeaddrinfo(found);
  const std::string own_text = text;
  return own_text.find('%') == std::string::npos ? own_text : "";  // link-local: others cannot use it
}

}  // namespace skep::agentd
