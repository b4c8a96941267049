#pragma once

// One worker of the simulated cluster: the real node side over fake drivers. The machine (containers,
// sandboxes, mounts, records) outlives its agent.

#include <memory>
#include <string>
#include <vector>

#include "core/agentd/manager_caller.h"
#include "core/node/node.h"
#include "core/node/testing/fake_parts.h"
#include "node_certificate.h"
#include "skep/testing/fake_network.h"
#include "skep/testing/fake_runtime.h"
#include "skep/testing/fake_volume.h"
#include "skep/testing/local_bus.h"
#include "tests/rig/local_peers.h"
#include "tests/rig/process.h"

namespace skep::sim {

class SimNode {
 public:
  /// `managers`: "ID=HOST:PORT" of those it knows in the beginning. `certificate`: nullptr in a swarm without.
  SimNode(std::string id, testing::ManualLoop& loop, testing::LocalBus& bus, std::uint64_t seed,
          const std::vector<std::string>& managers, std::function<bool(const std::string&)> connects,
          NodeCertificate* certificate = nullptr);
  ~SimNode();
  SimNode(const SimNode&) = delete;
  SimNode& operator=(const SimNode&) = delete;

  [[nodiscard]] const std::string& id() const { return id_; }
  /// Name of its agent on the bus.
  [[nodiscard]] std::string agent_name() const { return id_ + "/agent"; }
  [[nodiscard]] bool agent_runs() const { return agent_ != nullptr; }
  [[nodiscard]] bool is_on() const { return on_; }
  /// Ids of the managers it could look for.
  [[nodiscard]] std::vector<std::string> known_managers() const;

  void start_agent();
  /// SIGKILL: what runs goes on, files keep what was written.
  void kill_agent();
  /// The machine loses power: everything that runs ends, unsynced records are lost.
  void power_off();
  void power_on();
  void driver_down(const std::string& driver);
  void driver_up(const std::string& driver);
  [[nodiscard]] bool driver_is_up(const std::string& driver) const {
    return directory.incarnations.contains(driver);
  }

  [[nodiscard]] bool runs_container_of(const std::string& task_id) const;
  /// "" when nothing is left of tasks but what `keep(task id)` allows.
  [[nodiscard]] std::string leftovers(const std::function<bool(const std::string&)>& keep) const;

  rig::Process process;
  testing::FakeRuntime runtime;
  testing::FakeVolume volume;
  testing::FakeNetwork network;
  node::testing::FakeSandboxMaker sandboxes;
  node::testing::FakeDriverDirectory directory;
  node::testing::FakeNodeFacts facts;
  node::testing::MemoryRecordStore records;

 private:
  [[nodiscard]] std::string installation_id() const { return "inst-" + id_; }

  std::string id_;
  testing::ManualLoop& loop_;
  testing::LocalBus& bus_;
  std::map<std::string, rpc::MethodTable> tables_;
  rpc::MethodTable agent_table_;
  std::function<bool(const std::string&)> connects_;
  NodeCertificate* const certificate_;
  agentd::ManagerBook book_;  // kept on disk in truth
  std::unique_ptr<rig::LocalPeers> peers_;
  std::unique_ptr<agentd::ManagerCaller> caller_;
  std::unique_ptr<node::NodeAgent> agent_;
  std::uint64_t incarnation_ = 0;
  bool on_ = true;
};

}  // namespace skep::sim
