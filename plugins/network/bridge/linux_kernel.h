#pragma once

#include <map>

#include "plugins/network/bridge/kernel.h"

namespace skep::bridge {

/// The real kernel of the namespace agentd runs in.
class LinuxKernel final : public Kernel {
 public:
  ~LinuxKernel() override;
  Status ensure_bridge(const std::string& name, const std::string& alias,
                       const std::string& gateway_cidr) override;
  Status attach(const Attachment& attachment) override;
  Status delete_link(const std::string& name) override;
  Result<std::vector<TaggedLink>> links() override;
  Result<std::vector<std::string>> used_subnets() override;
  Status apply_rules(const RuleSet& rules) override;
  Status delete_rules(const std::string& table) override;
  Status reserve_port(model::v1::PublishedPort::Protocol protocol, std::uint32_t port) override;
  void release_port(model::v1::PublishedPort::Protocol protocol, std::uint32_t port) override;

 private:
  std::map<std::pair<int, std::uint32_t>, int> reserved_;  // (protocol, port) -> bound socket
};

/// The table as one libnftables JSON transaction.
std::string rules_to_json(const RuleSet& rules);

}  // namespace skep::bridge
