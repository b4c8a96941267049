#pragma once

// The one manager of the simulated cluster: store, consensus client, dispatcher, control API and loops
// over the real raft driver, whose log lies on a disk that forgets what was not synced.

#include <memory>
#include <string>

#include "core/control/manager.h"
#include "core/store/memory_backend.h"
#include "plugins/consensus/raft/raft_driver.h"
#include "process.h"
#include "skep/testing/local_bus.h"

namespace skep::sim {

class SimManager {
 public:
  /// `watcher` is one more loop of the manager: the invariants.
  SimManager(testing::ManualLoop& loop, testing::LocalBus& bus, std::uint64_t seed,
             control::Manager::LoopFactory watcher);
  ~SimManager();
  SimManager(const SimManager&) = delete;
  SimManager& operator=(const SimManager&) = delete;

  void start();
  /// Power failure: what was not synced may be lost.
  void crash();
  [[nodiscard]] bool runs() const { return manager_ != nullptr; }
  [[nodiscard]] bool leads() const { return manager_ != nullptr && manager_->leading(); }
  /// Only while it runs.
  [[nodiscard]] const store::View& view() const { return manager_->store().view(); }
  [[nodiscard]] control::Manager& manager() { return *manager_; }
  /// Why it gave up; empty while all is well.
  [[nodiscard]] const std::string& fatal() const { return fatal_; }

 private:
  void start_raft();

  testing::LocalBus& bus_;
  Process process_;
  control::Manager::LoopFactory watcher_;
  std::shared_ptr<store::MemoryBackend> backend_ = std::make_shared<store::MemoryBackend>();
  rpc::MethodTable core_table_;
  std::unique_ptr<rpc::MethodTable> raft_table_;
  std::unique_ptr<raft::RaftDriver> raft_;
  std::unique_ptr<control::Manager> manager_;
  bool first_ = true;
  std::string fatal_;
};

}  // namespace skep::sim
