#pragma once

// What the bridge driver asks of the kernel; a fake stands here in tests and the simulator.
// Blocking; worker threads only. Every call may be repeated.

#include <string>
#include <vector>

#include "skep/network.pb.h"
#include "skep/result.h"

namespace skep::bridge {

struct Attachment {
  std::string host_interface;
  std::string alias;
  std::string bridge;
  std::string sandbox;         ///< path of the network namespace
  std::string interface_name;  ///< inside
  std::string cidr;
  std::string mac;
  std::string gateway;  ///< empty: no default route
};

struct TaggedLink {
  std::string name;
  std::string alias;
};

/// One DNAT: packets to any address of this node at `published` go to `address`:`target`.
struct PortRule {
  model::v1::PublishedPort::Protocol protocol;
  std::uint32_t published = 0;
  std::string address;
  std::uint32_t target = 0;
};

struct RuleSet {
  std::string table;  ///< our own nftables table
  struct Outbound {
    std::string bridge;
    std::string subnet;
  };
  std::vector<Outbound> bridges;  ///< masqueraded when they leave through another interface
  std::vector<PortRule> ports;
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual Status ensure_bridge(const std::string& name, const std::string& alias,
                               const std::string& gateway_cidr) = 0;
  virtual Status attach(const Attachment& attachment) = 0;
  virtual Status delete_link(const std::string& name) = 0;
  virtual Result<std::vector<TaggedLink>> links() = 0;
  virtual Result<std::vector<std::string>> used_subnets() = 0;
  /// Replaces our table as a whole, in one transaction.
  virtual Status apply_rules(const RuleSet& rules) = 0;
  virtual Status delete_rules(const std::string& table) = 0;
  /// Keeps a port of the node for us until release: kFailedPrecondition "PORT_IN_USE" when another
  /// program has it. Reserving what we hold is success.
  virtual Status reserve_port(model::v1::PublishedPort::Protocol protocol, std::uint32_t port) = 0;
  virtual void release_port(model::v1::PublishedPort::Protocol protocol, std::uint32_t port) = 0;
};

}  // namespace skep::bridge
