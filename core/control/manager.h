#pragma once

// The manager role of one agent: the store with its copy on disk, the consensus client, the
// services that agentctl and nodes call, and the loops that run while this manager leads. agentd
// makes one when the node is a manager and drops it when it is no longer. Loop thread only.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/sealing.h"
#include "core/bus/peers.h"
#include "core/control/consensus_client.h"
#include "core/control/control_loop.h"
#include "core/control/leader_route.h"
#include "core/store/disk_state.h"
#include "core/store/store.h"
#include "skep/agent.methods.h"
#include "skep/env.h"
#include "skep/rpc.h"

namespace skep::control {

struct ManagerConfig {
  std::string node_id;
  std::string cluster_id;
  std::uint64_t member_id = 0;
  std::string address = {};  ///< "HOST:PORT" other managers and nodes reach this one at; may be empty
  std::string consensus_target = "consensus/raft";
  /// First members of the log; only given when the cluster is made (swarm init), else empty.
  std::vector<consensus::v1::Member> bootstrap = {};
  /// Of a manager that joined: the members as the join answered them, until its log tells.
  std::vector<consensus::v1::Member> join_members = {};
  store::DiskState::Options disk = {};
  /// Seals what goes to the log and to the disk, and is given to managers that join; nullptr:
  /// nothing is sealed (simulations).
  std::shared_ptr<const base::Sealer> sealer = {};
  /// Of the swarm; members of different ones never understand each other. See agent.proto.
  std::uint64_t incarnation = 0;
  /// With `bootstrap`: a new log behind the state that is there (a recovered swarm).
  bool begins_at_state = false;
  /// The other managers are lost: this one only takes what its log holds, see on_read_out. It never leads.
  bool recover = false;
  /// The log of this member was made before: when it is empty it was lost, and the manager ends (LOG_LOST).
  bool log_made = false;
};
/// What consensus knows the swarm as: the cluster id, and the incarnation when there was more than one.
std::string log_identity(const std::string& cluster_id, std::uint64_t incarnation);

class Manager {
 public:
  /// The manager of this node, or why there is none (nullptr stands for errors.h no_manager()).
  using Access = std::function<Result<Manager*>()>;
  using LoopFactory = std::function<std::unique_ptr<ControlLoop>(const LoopContext&)>;
  struct Handlers {
    /// The manager role cannot go on (damaged log, wrong cluster); the node side and its tasks can.
    /// Already stopped when this is called, from the loop.
    std::function<void(const Error&)> on_fatal = {};
    /// true: this manager leads now.
    std::function<void(bool leading)> on_leading = {};
    /// This node was demoted: its member left the log for good. Already stopped, and its state on
    /// disk closed, when this is called, from the loop; its log and state are to be removed (a new
    /// member id comes with the next join).
    std::function<void()> on_removed = {};
    /// The Cluster object as this manager knows it: after the start, and whenever it changed.
    std::function<void(const model::v1::Cluster&)> on_cluster = {};
    /// Just before on_removed: the swarm goes on without this manager in a newer incarnation.
    std::function<void(std::uint64_t incarnation)> on_newer_incarnation = {};
    /// With ManagerConfig::recover: the state holds everything that the log does. stop() writes it.
    std::function<void()> on_read_out = {};
    /// As ConsensusClient::Handlers::on_made.
    std::function<Status()> on_log_made = {};
  };

  /// `caller` reaches the consensus driver and the drivers of this node. `backend` is shared with
  /// work in flight on worker threads. `peers` reaches other managers and outlives this object;
  /// nullptr: there are none.
  Manager(Env& env, rpc::Caller& caller, std::shared_ptr<store::StateBackend> backend,
          ManagerConfig config, Handlers handlers, bus::Peers* peers = nullptr);
  ~Manager();
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  /// Answers consensus/1 events, dispatch/1, control/1 and what other managers ask (consensus/1
  /// deliver, manager/1) in `table`, once per process: `manager` is asked for every request.
  static void register_methods(rpc::MethodTable& table, const Access& manager);

  /// A loop to run while leading, in order of adding. Before start().
  void add_loop(LoopFactory factory);

  /// Loads the state, opens the log. `done` comes once the log is open (leading may come later), or
  /// with the error that on_fatal would get. Tries for ever while the plugin is only unavailable.
  void start(std::function<void(Status)> done);
  /// Before stop(): another manager leads soon, if this one does and another can. `done` within two seconds.
  void hand_over(std::function<void()> done);
  /// Ends loops, streams and proposals, writes and syncs the state. No handler is called afterwards.
  void stop(std::function<void(Status)> done);

  /// Once leading in a cluster without a Cluster object: puts the first objects. Success as well
  /// when they are there already (a repeat after a crash).
  void bootstrap(model::v1::Cluster cluster, model::v1::Node self, std::function<void(Status)> done);

  /// The state as a backup file, with everything acknowledged before. `stale`: without asking the other
  /// managers, so what this one knows. `header` says what only the agent knows.
  void backup(bool stale, store::v1::BackupHeader header,
              rpc::TypedServerStream<agent::v1::methods::Backup> stream);

  /// Runs `then` at once when leading, else as soon as; kUnavailable "NO_LEADER" after `wait`.
  void when_leading(Duration wait, std::function<void(Status)> then);
  void confirm_leading(std::function<void(Status)> then);  ///< before decisions on trust: LeaderProof::ask()

  /// The consensus plugin lost its state (crash, upgrade): its log is opened again.
  void consensus_restarted();
  /// Which incarnation of the consensus driver answers, after start() and when drivers changed: a new one is a restart.
  void consensus_seen(std::uint64_t incarnation);
  /// The last connection to or from that node broke (bus::Peers tells).
  void peer_gone(const std::string& node_id);
  /// That manager, proven to be it, refuses this node as removed from that incarnation of the swarm: see RemovalWatch.
  void refused_by(const std::string& node_id, std::uint64_t incarnation);

  /// Whether that node may act as a manager, whatever its certificate says: it shall be one, is a member, or unknown.
  /// Consensus messages get through as well where what is known may be old: perhaps they say that it is one again.
  [[nodiscard]] bool is_manager(const std::string& node_id, std::string_view method = {}) const;
  [[nodiscard]] bool leading() const;
  /// Which manager leads, as far as known here.
  [[nodiscard]] std::optional<LeaderRoute> leader() const;
  [[nodiscard]] const store::Store& store() const;
  [[nodiscard]] store::Proposer& proposer();
  [[nodiscard]] const ConsensusClient& consensus() const;
  [[nodiscard]] const ManagerConfig& config() const;
  /// Why it ended by itself: what on_fatal or `done` of start() got. nullptr: it did not.
  [[nodiscard]] const Error* failure() const;
  /// Why the log is not open or the state cannot be saved; empty when all is well.
  [[nodiscard]] std::string trouble() const;
  /// Asks the log too, for two seconds at most: why nobody leads or this manager takes no part, and what
  /// to do, for people. Empty: all is well, or the manager is gone.
  void health(std::function<void(std::string trouble)> done);
  /// How many managers vote; a role alone is no vote.
  [[nodiscard]] std::size_t votes() const;

 private:
  class Impl;
  class Methods;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::control
