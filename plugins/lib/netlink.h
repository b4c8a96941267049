#pragma once

// Links, addresses and routes through libnl, in the network namespace the object was made in. Every
// call is idempotent where the kernel lets it be. Blocking; worker threads only.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "skep/result.h"

struct nl_sock;

namespace skep::lib {

struct LinkInfo {
  int index = 0;
  std::string name;
  std::string alias;  ///< we tag what we make: "skep INSTALLATION_ID ..."
};

struct VethSpec {
  std::string name;
  std::string alias;
  std::string peer;           ///< its name for a moment, until renamed inside the namespace
  std::string peer_mac;
  std::string peer_namespace;  ///< path
};

class Netlink {
 public:
  static Result<Netlink> open();
  Netlink(Netlink&&) noexcept = default;
  Netlink& operator=(Netlink&&) noexcept = default;

  Result<std::vector<LinkInfo>> links();
  /// kNotFound when there is none.
  Result<LinkInfo> link(const std::string& name);
  Status create_bridge(const std::string& name, const std::string& alias);
  /// The host end stays here, the peer is born in its namespace.
  Status create_veth(const VethSpec& spec);
  /// A missing link is success.
  Status delete_link(const std::string& name);
  Status set_up(const std::string& name);
  /// The link must be down.
  Status rename(const std::string& from, const std::string& to);
  /// Also lets the port send frames back to itself (hairpin): a task may call its own published port.
  Status set_master(const std::string& name, const std::string& bridge);
  /// An address that is there already is success.
  Status add_address(const std::string& name, const std::string& cidr);
  Status add_default_route(const std::string& gateway);
  /// IPv4 destinations of all routes and addresses: what a new subnet must not overlap.
  Result<std::vector<std::string>> used_subnets();

 private:
  struct Close {
    void operator()(nl_sock* socket) const;
  };
  explicit Netlink(nl_sock* socket) : socket_(socket) {}
  std::unique_ptr<nl_sock, Close> socket_;
};

}  // namespace skep::lib
