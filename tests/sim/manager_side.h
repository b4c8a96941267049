#pragma once

// The node side of a manager's machine in a swarm with certificates: the real session with the managers, no tasks
// (they are drained). It goes through its own manager while that runs; the machine of one that was demoted goes on
// as a worker's.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/agentd/manager_caller.h"
#include "core/node/session.h"
#include "node_certificate.h"
#include "tests/rig/manager_process.h"

namespace skep::sim {

class ManagerSide {
 public:
  ManagerSide(rig::ManagerProcess& machine, testing::LocalBus& bus,
              std::function<bool(const std::string& from, const std::string& to)> connects,
              NodeCertificate::Hooks hooks);
  ~ManagerSide() { end(); }
  ManagerSide(const ManagerSide&) = delete;
  ManagerSide& operator=(const ManagerSide&) = delete;

  /// `managers`: "ID=HOST:PORT" of those it could ask.
  void start(bool manager, const std::vector<std::string>& managers);
  void end();
  NodeCertificate certificate;

 private:
  [[nodiscard]] agentd::ManagerCaller::Local local() const;

  rig::ManagerProcess& machine_;
  testing::LocalBus& bus_;
  std::function<bool(const std::string&, const std::string&)> connects_;
  rpc::MethodTable none_;
  agentd::ManagerBook book_;
  node::NodeConfig config_;
  bool attached_ = false;
  std::unique_ptr<rig::LocalPeers> own_peers_;  // while no manager runs here
  std::unique_ptr<agentd::ManagerCaller> caller_;
  std::unique_ptr<node::Session> session_;
  std::shared_ptr<char> began_;
};

}  // namespace skep::sim
