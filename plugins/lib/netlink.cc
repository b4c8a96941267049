#include "plugins/lib/netlink.h"

#include <fcntl.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>
#include <unistd.h>

#include <cerrno>

#include "skep/posix_env.h"

namespace skep::lib {
namespace {

Error netlink_error(int error, const std::string& what) {
  Code code = Code::kInternal;
  switch (-error) {
    case NLE_EXIST:
      code = Code::kAlreadyExists;
      break;
    case NLE_OBJ_NOTFOUND:
    case NLE_NODEV:
      code = Code::kNotFound;
      break;
    case NLE_PERM:
    case NLE_NOACCESS:
      code = Code::kPermissionDenied;
      break;
    case NLE_NOMEM:
      code = Code::kResourceExhausted;
      break;
    case NLE_BUSY:
    case NLE_AGAIN:
      code = Code::kUnavailable;
      break;
    case NLE_OPNOTSUPP:
      return Error{Code::kFailedPrecondition, what + ": this kernel cannot do that", "KERNEL_LACKS"};
    default:
      break;
  }
  return Error{code, what + ": " + nl_geterror(error)};
}

Status check(int result, const std::string& what) {
  return result >= 0 ? ok() : Status(netlink_error(result, what));
}

template <class T, void (*Put)(T*)>
struct PutObject {
  void operator()(T* object) const { Put(object); }
};
using LinkPtr = std::unique_ptr<rtnl_link, PutObject<rtnl_link, rtnl_link_put>>;
using AddrPtr = std::unique_ptr<rtnl_addr, PutObject<rtnl_addr, rtnl_addr_put>>;
using RoutePtr = std::unique_ptr<rtnl_route, PutObject<rtnl_route, rtnl_route_put>>;
using NlAddrPtr = std::unique_ptr<nl_addr, PutObject<nl_addr, nl_addr_put>>;
using CachePtr = std::unique_ptr<nl_cache, PutObject<nl_cache, nl_cache_free>>;

Result<LinkPtr> get_link(nl_sock* socket, const std::string& name) {
  rtnl_link* raw = nullptr;
  const int result = rtnl_link_get_kernel(socket, 0, name.c_str(), &raw);
  if (result < 0) {
    return netlink_error(result, "interface '" + name + "'");
  }
  return LinkPtr(raw);
}

Result<NlAddrPtr> parse_address(const std::string& text, int family) {
  nl_addr* raw = nullptr;
  if (nl_addr_parse(text.c_str(), family, &raw) < 0) {
    return Error{Code::kInvalidArgument, "'" + text + "' is no address"};
  }
  return NlAddrPtr(raw);
}

std::string text_of(const nl_addr* address) {
  char buffer[128] = {};
  return address == nullptr ? "" : nl_addr2str(address, buffer, sizeof(buffer));
}

}  // namespace

void Netlink::Close::operator()(nl_sock* socket) const { nl_socket_free(socket); }

Result<Netlink> Netlink::open() {
  nl_sock* socket = nl_socket_alloc();
  if (socket == nullptr) {
    return Error{Code::kResourceExhausted, "netlink: out of memory"};
  }
  Netlink netlink(socket);
  SKEP_TRY(check(nl_connect(socket, NETLINK_ROUTE), "open a netlink socket"));
  return netlink;
}

Result<std::vector<LinkInfo>> Netlink::links() {
  nl_cache* raw = nullptr;
  SKEP_TRY(check(rtnl_link_alloc_cache(socket_.get(), AF_UNSPEC, &raw), "list interfaces"));
  const CachePtr cache(raw);
  std::vector<LinkInfo> out;
  for (nl_object* object = nl_cache_get_first(raw); object != nullptr;
       object = nl_cache_get_next(object)) {
    auto* link = reinterpret_cast<rtnl_link*>(object);
    const char* alias = rtnl_link_get_ifalias(link);
    out.push_back({rtnl_link_get_ifindex(link), rtnl_link_get_name(link), alias ? alias : ""});
  }
  return out;
}

Result<LinkInfo> Netlink::link(const std::string& name) {
  SKEP_TRY_ASSIGN(const LinkPtr found, get_link(socket_.get(), name));
  const char* alias = rtnl_link_get_ifalias(found.get());
  return LinkInfo{rtnl_link_get_ifindex(found.get()), name, alias ? alias : ""};
}

Status Netlink::create_bridge(const std::string& name, const std::string& alias) {
  const LinkPtr bridge(rtnl_link_alloc());
  rtnl_link_set_type(bridge.get(), "bridge");
  rtnl_link_set_name(bridge.get(), name.c_str());
  rtnl_link_set_ifalias(bridge.get(), alias.c_str());
  const int result = rtnl_link_add(socket_.get(), bridge.get(), NLM_F_CREATE | NLM_F_EXCL);
  return result == -NLE_EXIST ? ok() : check(result, "make bridge '" + name + "'");
}

Status Netlink::create_veth(const VethSpec& spec) {
  const int ns = ::open(spec.peer_namespace.c_str(), O_RDONLY | O_CLOEXEC);
  if (ns < 0) {
    return errno_error(errno, "sandbox '" + spec.peer_namespace + "'");
  }
  const LinkPtr link(rtnl_link_veth_alloc());
  rtnl_link_set_name(link.get(), spec.name.c_str());
  rtnl_link_set_ifalias(link.get(), spec.alias.c_str());
  const LinkPtr peer(rtnl_link_veth_get_peer(link.get()));
  rtnl_link_set_name(peer.get(), spec.peer.c_str());
  rtnl_link_set_ns_fd(peer.get(), ns);
  auto mac = parse_address(spec.peer_mac, AF_LLC);
  Status status = ok();
  if (mac) {
    rtnl_link_set_addr(peer.get(), mac->get());
    status = check(rtnl_link_add(socket_.get(), link.get(), NLM_F_CREATE | NLM_F_EXCL),
                   "make interface pair '" + spec.name + "'");
  } else {
    status = std::move(mac).error();
  }
  ::close(ns);
  return status;
}

Status Netlink::delete_link(const std::string& name) {
  const LinkPtr link(rtnl_link_alloc());
  rtnl_link_set_name(link.get(), name.c_str());
  const int result = rtnl_link_delete(socket_.get(), link.get());
  return result == -NLE_OBJ_NOTFOUND || result == -NLE_NODEV
             ? ok()
             : check(result, "remove interface '" + name + "'");
}

Status Netlink::set_up(const std::string& name) {
  SKEP_TRY_ASSIGN(const LinkPtr link, get_link(socket_.get(), name));
  const LinkPtr change(rtnl_link_alloc());
  rtnl_link_set_flags(change.get(), IFF_UP);
  return check(rtnl_link_change(socket_.get(), link.get(), change.get(), 0),
               "bring interface '" + name + "' up");
}

Status Netlink::rename(const std::string& from, const std::string& to) {
  SKEP_TRY_ASSIGN(const LinkPtr link, get_link(socket_.get(), from));
  const LinkPtr change(rtnl_link_alloc());
  rtnl_link_set_name(change.get(), to.c_str());
  return check(rtnl_link_change(socket_.get(), link.get(), change.get(), 0),
               "rename interface '" + from + "' to '" + to + "'");
}

Status Netlink::set_master(const std::string& name, const std::string& bridge) {
  SKEP_TRY_ASSIGN(const LinkPtr link, get_link(socket_.get(), name));
  SKEP_TRY_ASSIGN(const LinkPtr master, get_link(socket_.get(), bridge));
  SKEP_TRY(check(rtnl_link_enslave(socket_.get(), master.get(), link.get()),
                 "put interface '" + name + "' on bridge '" + bridge + "'"));
  const LinkPtr port(rtnl_link_alloc());
  rtnl_link_set_family(port.get(), AF_BRIDGE);
  rtnl_link_set_ifindex(port.get(), rtnl_link_get_ifindex(link.get()));
  rtnl_link_bridge_set_flags(port.get(), RTNL_BRIDGE_HAIRPIN_MODE);
  return check(rtnl_link_change(socket_.get(), port.get(), port.get(), 0),
               "set hairpin mode of '" + name + "'");
}

Status Netlink::add_address(const std::string& name, const std::string& cidr) {
  SKEP_TRY_ASSIGN(const LinkPtr link, get_link(socket_.get(), name));
  SKEP_TRY_ASSIGN(const NlAddrPtr local, parse_address(cidr, AF_UNSPEC));
  const AddrPtr address(rtnl_addr_alloc());
  rtnl_addr_set_ifindex(address.get(), rtnl_link_get_ifindex(link.get()));
  rtnl_addr_set_local(address.get(), local.get());
  const int result = rtnl_addr_add(socket_.get(), address.get(), 0);
  return result == -NLE_EXIST ? ok()
                              : check(result, "give interface '" + name + "' address " + cidr);
}

Status Netlink::add_default_route(const std::string& gateway) {
  SKEP_TRY_ASSIGN(const NlAddrPtr everywhere, parse_address("0.0.0.0/0", AF_INET));
  SKEP_TRY_ASSIGN(const NlAddrPtr via, parse_address(gateway, AF_INET));
  const RoutePtr route(rtnl_route_alloc());
  rtnl_route_set_family(route.get(), AF_INET);
  rtnl_route_set_dst(route.get(), everywhere.get());
  rtnl_nexthop* hop = rtnl_route_nh_alloc();
  rtnl_route_nh_set_gateway(hop, via.get());
  rtnl_route_add_nexthop(route.get(), hop);  // owned by the route now
  const int result = rtnl_route_add(socket_.get(), route.get(), 0);
  return result == -NLE_EXIST ? ok() : check(result, "add the default route via " + gateway);
}

Result<std::vector<std::string>> Netlink::used_subnets() {
  std::vector<std::string> out;
  nl_cache* raw = nullptr;
  SKEP_TRY(check(rtnl_route_alloc_cache(socket_.get(), AF_INET, 0, &raw), "list routes"));
  const CachePtr routes(raw);
  for (nl_object* object = nl_cache_get_first(raw); object != nullptr;
       object = nl_cache_get_next(object)) {
    auto* route = reinterpret_cast<rtnl_route*>(object);
    const nl_addr* destination = rtnl_route_get_dst(route);
    if (destination != nullptr && nl_addr_get_prefixlen(destination) > 0) {
      out.push_back(text_of(destination));
    }
  }
  return out;
}

}  // namespace skep::lib
