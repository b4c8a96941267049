#pragma once

// One manager's agent in a virtual world: store, consensus client, control API and loops over the
// real raft driver, whose log lies on a disk that forgets what was not synced. The machine (disk,
// saved state, clock) outlives the process.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/control/manager.h"
#include "core/control/standard_loops.h"
#include "core/store/memory_backend.h"
#include "plugins/consensus/raft/raft_driver.h"
#include "plugins/consensus/raft/testing/slow_disk.h"
#include "tests/rig/local_peers.h"
#include "tests/rig/plugin_loop.h"
#include "tests/rig/process.h"

namespace skep::rig {

inline constexpr const char* kClusterId = "c1";

/// What the managers of one world share.
struct ManagerWorld {
  testing::ManualLoop& loop;
  testing::LocalBus& bus;
  /// Whether a connection from one node to another can be made now.
  std::function<bool(const std::string& from, const std::string& to)> connects;
  std::map<std::string, std::string> raft_config = {};
  /// Whether `to` refuses `from` as removed, and from which incarnation of the swarm.
  std::function<std::optional<std::uint64_t>(const std::string& from, const std::string& to)> refuses = {};
  /// The manager of that node, as long as it runs: it is asked what others may call. Empty: everything.
  std::function<const control::Manager*(const std::string& node)> find = {};
  std::vector<control::MakeLoop> loops = {};
  store::DiskState::Options disk = {};
  /// What logs and states are sealed with; nullptr: nothing is.
  std::shared_ptr<const base::Sealer> sealer = {};
};

class ManagerProcess {
 public:
  ManagerProcess(ManagerWorld& world, std::string id, std::uint64_t seed, std::uint64_t member_id);
  ~ManagerProcess();
  ManagerProcess(const ManagerProcess&) = delete;
  ManagerProcess& operator=(const ManagerProcess&) = delete;

  /// `bootstrap` only in the first start of a first member.
  void start(std::vector<consensus::v1::Member> bootstrap = {});
  /// kill -9: files keep what was written. Nobody is told; see the world's on_gone.
  void kill();
  /// Power loss: what was not synced may be gone.
  void lose_power();
  /// The consensus plugin dies, and is there again.
  void kill_raft();
  Status start_raft();
  /// A sync takes half of that to half more from now on, of the log and of the state; zero: none takes time any more.
  /// The consensus plugin waits for its own.
  void slow_disk_down(Duration sync_takes);
  /// Somebody removes the log of a manager that does not run, or the disk loses it.
  void lose_log();
  /// Nothing is left of the log and the state: the next start is another member.
  void wipe(std::uint64_t new_member_id);

  [[nodiscard]] bool runs() const { return manager != nullptr; }
  [[nodiscard]] bool leads() const { return runs() && manager->leading(); }
  [[nodiscard]] const store::View& view() const { return manager->store().view(); }

  const std::string id;
  Process process;
  PluginLoop raft_loop;  ///< of the consensus plugin
  std::shared_ptr<store::MemoryBackend> backend = std::make_shared<store::MemoryBackend>();
  std::unique_ptr<LocalPeers> peers;
  std::unique_ptr<raft::RaftDriver> raft;
  std::unique_ptr<control::Manager> manager;
  rpc::Caller* user = nullptr;  ///< a person on this machine; valid while it runs
  std::uint64_t member_id = 0;
  bool log_made = false;  ///< as swarm.pb notes it
  std::vector<consensus::v1::Member> join_members;
  std::shared_ptr<const base::Sealer> sealer;  ///< nullptr: the world's
  std::string fatal;     ///< why the manager gave up; empty while all is well
  bool removed = false;  ///< it was demoted or removed
  int step_ups = 0;
  int clusters_told = 0;  ///< how often it told of the Cluster object
  std::function<void(bool leading)> on_leading;
  /// Called in every start, before the manager is made; for what is not as usual.
  std::function<void(control::ManagerConfig&, control::Manager::Handlers&)> tune;
  /// Called in every start, before the manager starts.
  std::function<void(ManagerProcess&)> on_start;
  /// Called in every end of the process, before anything of it is gone.
  std::function<void(ManagerProcess&)> on_end;

 private:
  class PeersNow;
  void end(std::shared_ptr<store::MemoryBackend> survives);

  ManagerWorld& world_;
  raft::SlowDisk raft_disk_;
  Env raft_env_;
  std::unique_ptr<PeersNow> peers_now_;
  rpc::MethodTable core_table_;
  rpc::MethodTable no_methods_;
  std::unique_ptr<rpc::MethodTable> raft_table_;
  std::uint64_t raft_incarnation_ = 0;
};

}  // namespace skep::rig
