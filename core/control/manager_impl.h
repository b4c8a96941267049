#pragma once

// What a Manager is made of; only manager*.cc include this.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/control/api/control_api.h"
#include "core/control/backup/backup_source.h"
#include "core/control/dispatcher/dispatcher_service.h"
#include "core/control/leader_clock.h"
#include "core/control/errors.h"
#include "core/control/leader_proof.h"
#include "core/control/manager.h"
#include "core/control/managers/forwarder.h"
#include "core/control/managers/raft_mail.h"
#include "core/control/managers/removal_watch.h"
#include "core/control/managers/role_manager_service.h"
#include "core/control/managers/state_fetch.h"
#include "core/control/managers/state_source.h"
#include "core/control/managers/swarm_health.h"
#include "core/control/snapshot_marks.h"

namespace skep::control {

class Manager::Impl {
 public:
  Impl(Env& e, rpc::Caller& local, std::shared_ptr<store::StateBackend> b, ManagerConfig c,
       Handlers h, bus::Peers* p);

  void start(std::function<void(Status)> done);
  void load(bool second_try);
  void load_later(const Error& error);
  void stop(std::function<void(Status)> done);
  void hand_over(std::function<void()> done);
  void step_up(std::uint64_t term);
  void step_down();
  void fail(Error error);
  void answer_start(Status status);
  void when_leading(Duration wait, std::function<void(Status)> then);
  void confirm_leading(std::function<void(Status)> then);
  /// Until it is known which manager leads, this one or another.
  void find_leader(Duration wait, std::function<void(Result<LeaderRoute>)> then);
  /// Waits in `waiters` until `ready` holds after some news; NO_LEADER after `wait`.
  void wait_until(Duration wait, std::function<bool()> ready, std::function<void(Status)> then);
  void wake_waiters();
  [[nodiscard]] std::optional<LeaderRoute> leader() const;
  [[nodiscard]] Result<DispatcherService*> serving_dispatcher() const;
  [[nodiscard]] std::vector<std::string> manager_addresses() const;
  [[nodiscard]] dispatch::v1::SessionMessage redirect() const;
  void members_changed(const std::vector<consensus::v1::Member>& members);
  void leader_changed(std::uint64_t leader_id);
  /// Nodes that were removed are not spoken to while their certificates would hold.
  void refuse(const std::string& node_id, bool removed);
  /// The state was read from the disk, or another one took its place.
  void state_loaded();
  /// The Cluster object is known or changed: settings of this manager, and whoever wants to know.
  void cluster_changed();
  /// What a new member needs besides its id.
  void add_keys(manager::v1::JoinResponse& response) const;
  /// This manager is no member of the log any more: it ends and tells.
  void removed(std::uint64_t incarnation);  // of the swarm it was removed from
  void read_out();
  void backup(bool stale, store::v1::BackupHeader header, BackupSource::Stream stream);
  void check_demotion(const std::string& node_id, std::function<void(Status)> done);
  [[nodiscard]] bool is_member(const std::string& node_id) const;
  void join(const manager::v1::JoinRequest& request, const rpc::CallContext& context,
            rpc::Reply<manager::v1::JoinResponse> reply);
  void check_member(const manager::v1::CheckMemberRequest& request, const rpc::CallContext& context,
                    rpc::Reply<manager::v1::CheckMemberResponse> reply);
  void bootstrap(model::v1::Cluster cluster, model::v1::Node self,
                 std::function<void(Status)> done);
  void disk_trouble_changed(const std::string& reason);
  [[nodiscard]] std::string trouble() const;
  void add_manager_status(model::v1::Node& node) const;
  [[nodiscard]] Result<std::string> log_target(const model::v1::Task& task) const;

  struct Waiter {
    std::function<bool()> ready;
    std::function<void(Status)> then;
    TimerId timer = 0;
  };

  Env& env;
  LeaderClock clock{env.clock};
  Env leader_env{clock, env.random, env.loop, env.workers, env.disk, env.subprocess};
  rpc::Caller& caller;  // of drivers on this node
  const ManagerConfig config;
  Handlers handlers;
  bus::Peers* const peers;
  const std::shared_ptr<store::StateBackend> backend;
  store::Store store;
  std::unique_ptr<store::DiskState> disk;
  SnapshotMarks snapshot_marks;
  std::unique_ptr<ConsensusClient> client;
  LeaderProof proof{[this](LeaderProof::Then then) { client->read_barrier(std::move(then)); }};
  std::unique_ptr<SwarmHealth> health;
  std::unique_ptr<RaftMail> mail;
  std::unique_ptr<RemovalWatch> removal;
  std::unique_ptr<StateSource> state_source;
  std::unique_ptr<StateFetch> state_fetch;
  std::unique_ptr<BackupSource> backups;
  std::unique_ptr<Forwarder> forwarder;
  std::unique_ptr<ControlApi> api;
  std::vector<LoopFactory> factories;
  std::vector<std::unique_ptr<ControlLoop>>
      loops;  // only while leading; dispatcher and role manager come first
  DispatcherService* dispatcher = nullptr;
  RoleManagerService* role_manager = nullptr;
  store::SubscriptionId subscription = 0;
  store::SubscriptionId removals = 0;  // of nodes: also while another manager leads
  std::set<std::string> refused;       // nodes
  std::map<std::uint64_t, Waiter> waiters;
  std::uint64_t last_waiter = 0;
  std::function<void(Status)> on_started;
  std::optional<Error> fatal;  // why this manager stopped by itself
  TimerId load_timer = 0;
  std::string disk_trouble;
  std::string set_aside;                    // why the saved state was not used
  std::uint64_t consensus_incarnation = 0;  // last seen
  bool was_member = false;
  bool ended = false;
  /// Whoever waits for the end of the one stop; shared, for it may outlive this object.
  struct Closing {
    bool done = false;
    std::vector<std::function<void(Status)>> waiting;
  };
  std::shared_ptr<Closing> closing = std::make_shared<Closing>();
  std::shared_ptr<char> alive = std::make_shared<char>();
};

}  // namespace skep::control
