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

#include "core/link/tcp_socket.h"
#include "skep/posix_env.h"

namespace skep::agentd {
namespace {

bool is_ip(const std::string& text) {
  in6_addr buffer{};
  return ::inet_pton(AF_INET, text.c_str(), &buffer) == 1 || ::inet_pton(AF_INET6, text.c_str(), &buffer) == 1;
}

std::string join(const std::string& host, std::uint16_t port) {
  const bool ipv6 = host.find(':') != std::string::npos;
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

struct HostPort {
  std::string host;
  std::uint16_t port = link::kManagementPort;
};

Result<HostPort> split(const std::string& given) {
  HostPort out{given};
  if (is_ip(given)) {
    return out;  // an IPv6 address holds colons that are no port
  }
  const auto colon = given.rfind(':');
  if (colon == std::string::npos) {
    return out;
  }
  const char* end = given.data() + given.size();
  const auto [rest, error] = std::from_chars(given.data() + colon + 1, end, out.port);
  if (error != std::errc{} || rest != end || out.port == 0) {
    return Error{Code::kInvalidArgument, "'" + given + "' has no valid port; write IP:PORT or INTERFACE:PORT",
                 "BAD_ADDRESS"};
  }
  out.host = given.substr(0, colon);
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

}  // namespace

Result<std::vector<InterfaceAddress>> machine_addresses() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) {
    return errno_error(errno, "list the addresses of this machine");
  }
  std::vector<InterfaceAddress> out;
  for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0 ||
        (entry->ifa_flags & IFF_LOOPBACK) != 0 || made_by_a_tool(entry->ifa_name)) {
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
    if (::getnameinfo(entry->ifa_addr, size, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) == 0) {
      out.push_back({entry->ifa_name, text, family == AF_INET6});
    }
  }
  ::freeifaddrs(first);
  return out;
}

Result<std::string> choose_advertise_address(const std::string& given,
                                             const std::vector<InterfaceAddress>& addresses) {
  SKEP_TRY_ASSIGN(const HostPort wanted, split(given));
  if (!wanted.host.empty() && is_ip(wanted.host)) {
    return join(wanted.host, wanted.port);
  }
  std::vector<InterfaceAddress> fitting;
  for (const auto& address : addresses) {
    if (wanted.host.empty() || address.interface == wanted.host) {
      fitting.push_back(address);
    }
  }
  // IPv6 addresses count only where there is nothing else.
  if (std::any_of(fitting.begin(), fitting.end(), [](const auto& address) { return !address.ipv6; })) {
    std::erase_if(fitting, [](const auto& address) { return address.ipv6; });
  }
  if (fitting.empty()) {
    if (!wanted.host.empty()) {
      return Error{Code::kInvalidArgument,
                   "'" + wanted.host + "' is no IP address and no interface of this node with one" +
                       (addresses.empty() ? "" : "; there are " + list_text(addresses)),
                   "BAD_ADDRESS"};
    }
    return join("127.0.0.1", wanted.port);
  }
  if (fitting.size() > 1) {
    return Error{Code::kInvalidArgument,
                 "could not choose an IP address to advertise since this system has multiple addresses (" +
                     list_text(fitting) + "): name one with --advertise-addr",
                 "SEVERAL_ADDRESSES"};
  }
  return join(fitting.front().address, wanted.port);
}

Result<std::string> choose_listen_address(const std::string& given, const std::string& advertise,
                                          const std::vector<InterfaceAddress>& addresses) {
  if (!given.empty()) {
    SKEP_TRY_ASSIGN(const HostPort wanted, split(given));
    return wanted.host.empty() ? join("0.0.0.0", wanted.port) : choose_advertise_address(given, addresses);
  }
  SKEP_TRY_ASSIGN(const HostPort told, split(advertise));
  const bool loopback = told.host.starts_with("127.") || told.host == "::1";
  return join(loopback ? told.host : told.host.find(':') == std::string::npos ? "0.0.0.0" : "::", told.port);
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
  return text;
}

}  // namespace skep::agentd
