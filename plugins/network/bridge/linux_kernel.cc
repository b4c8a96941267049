#include "plugins/network/bridge/linux_kernel.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "plugins/lib/netlink.h"
#include "plugins/lib/netns.h"
#include "plugins/lib/nft.h"
#include "skep/log.h"
#include "skep/posix_env.h"

namespace skep::bridge {
namespace {

using Protocol = model::v1::PublishedPort::Protocol;

/// Some sysctls are read-only in containers and namespaces: missing ones cost a feature, which the
/// log names, never the start.
void write_sysctl(const std::string& path, const std::string& value, const std::string& costs) {
  std::string now;
  std::ifstream(path) >> now;
  if (now == value) {
    return;
  }
  std::ofstream file(path);
  file << value << std::flush;
  if (!file) {
    SKEP_WARN("kernel setting not changed", {"path", path}, {"wanted", value}, {"costs", costs});
  }
}

std::string temporary_peer(const std::string& host_interface) { return host_interface + "p"; }

}  // namespace

LinuxKernel::~LinuxKernel() {
  for (const auto& [key, fd] : reserved_) {
    ::close(fd);
  }
}

Status LinuxKernel::ensure_bridge(const std::string& name, const std::string& alias,
                                  const std::string& gateway_cidr) {
  SKEP_TRY_ASSIGN(auto netlink, lib::Netlink::open());
  SKEP_TRY(netlink.create_bridge(name, alias));
  SKEP_TRY(netlink.add_address(name, gateway_cidr));
  SKEP_TRY(netlink.set_up(name));
  write_sysctl("/proc/sys/net/ipv4/ip_forward", "1", "tasks cannot reach other machines");
  write_sysctl("/proc/sys/net/ipv4/conf/" + name + "/route_localnet", "1",
               "published ports do not answer on 127.0.0.1");
  return ok();
}

Status LinuxKernel::attach(const Attachment& attachment) {
  SKEP_TRY_ASSIGN(auto netlink, lib::Netlink::open());
  // A pair left by a crash half way has nothing worth keeping.
  SKEP_TRY(netlink.delete_link(attachment.host_interface));
  const std::string peer = temporary_peer(attachment.host_interface);
  SKEP_TRY(netlink.create_veth({attachment.host_interface, attachment.alias, peer, attachment.mac,
                                attachment.sandbox}));
  SKEP_TRY(netlink.set_master(attachment.host_interface, attachment.bridge));
  SKEP_TRY(netlink.set_up(attachment.host_interface));
  return lib::in_network_namespace(attachment.sandbox, [&]() -> Status {
    SKEP_TRY_ASSIGN(auto inside, lib::Netlink::open());
    SKEP_TRY(inside.rename(peer, attachment.interface_name));
    SKEP_TRY(inside.add_address(attachment.interface_name, attachment.cidr));
    SKEP_TRY(inside.set_up(attachment.interface_name));
    return attachment.gateway.empty() ? ok() : inside.add_default_route(attachment.gateway);
  });
}

Status LinuxKernel::delete_link(const std::string& name) {
  SKEP_TRY_ASSIGN(auto netlink, lib::Netlink::open());
  return netlink.delete_link(name);
}

Result<std::vector<TaggedLink>> LinuxKernel::links() {
  SKEP_TRY_ASSIGN(auto netlink, lib::Netlink::open());
  SKEP_TRY_ASSIGN(const auto links, netlink.links());
  std::vector<TaggedLink> out;
  for (const auto& link : links) {
    if (!link.alias.empty()) {
      out.push_back({link.name, link.alias});
    }
  }
  return out;
}

Result<std::vector<std::string>> LinuxKernel::used_subnets() {
  SKEP_TRY_ASSIGN(auto netlink, lib::Netlink::open());
  return netlink.used_subnets();
}

Status LinuxKernel::apply_rules(const RuleSet& rules) {
  return lib::run_nft_json(rules_to_json(rules));
}

Status LinuxKernel::delete_rules(const std::string& table) {
  // "add" first, so that deleting what is not there is no error.
  const std::string name = R"({"table":{"family":"ip","name":")" + table + R"("}})";
  return lib::run_nft_json(R"({"nftables":[{"add":)" + name + R"(},{"delete":)" + name + "}]}");
}

Status LinuxKernel::reserve_port(Protocol protocol, std::uint32_t port) {
  const std::pair key{static_cast<int>(protocol), port};
  if (reserved_.contains(key) || protocol == model::v1::PublishedPort::SCTP) {
    return ok();  // this kernel may lack SCTP sockets; the rule alone publishes it
  }
  const int type = protocol == model::v1::PublishedPort::UDP ? SOCK_DGRAM : SOCK_STREAM;
  const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return errno_error(errno, "reserve port " + std::to_string(port));
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    ::close(fd);
    if (error == EADDRINUSE) {
      return Error{Code::kFailedPrecondition,
                   "port " + std::to_string(port) + " is in use by another program on this node: "
                   "publish another port or stop that program",
                   "PORT_IN_USE"};
    }
    return errno_error(error, "reserve port " + std::to_string(port));
  }
  reserved_[key] = fd;
  return ok();
}

void LinuxKernel::release_port(Protocol protocol, std::uint32_t port) {
  const auto it = reserved_.find({static_cast<int>(protocol), port});
  if (it != reserved_.end()) {
    ::close(it->second);
    reserved_.erase(it);
  }
}

}  // namespace skep::bridge
