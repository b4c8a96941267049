#pragma once

// The part this agent plays in a swarm: keeps its membership on disk, and makes and drops the manager
// role and the node side as it changes. Loop thread only.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/agentd/config.h"
#include "core/agentd/manager_book.h"
#include "core/agentd/manager_caller.h"
#include "core/agentd/member_token.h"
#include "core/agentd/promotion.h"
#include "core/agentd/renewal_timer.h"
#include "core/control/manager.h"
#include "core/link/joining.h"
#include "core/link/link.h"
#include "core/node/level_records.h"
#include "core/node/node.h"
#include "core/node/posix_facts.h"
#include "core/node/posix_sandbox.h"
#include "core/pluginhost/plugin_host.h"
#include "skep/agent.pb.h"
#include "skep/ca.pb.h"
#include "skep/env.h"

namespace skep::agentd {
class Leftovers;
class Recovery;
class Swarm {
 public:
  /// `link` answers other nodes; it and everything else given outlives this object.
  Swarm(Env& env, rpc::Caller& caller, link::Link& link, host::PluginHost& plugins, const Paths& paths,
        const Config& config, std::string installation_id);
  ~Swarm();
  Swarm(const Swarm&) = delete;
  Swarm& operator=(const Swarm&) = delete;

  /// Takes up the membership on disk, if there is one. An error keeps the agent from starting.
  Status start();
  /// Before stop(), when this agent will be back: managers then wait for it. Within a second.
  void announce_restart(std::function<void()> done);
  /// Others take this node's tasks over. kTimeout TASKS_LEFT after `patience`: then it takes tasks again.
  void hand_over(Duration patience, std::function<void(Status)> done);
  void stop(std::function<void()> done);  ///< manager and node side; tasks stay
  /// Makes a new swarm with this node as its manager. Answers the node id once the node is in it.
  void init(const agent::v1::InitRequest& request, std::function<void(Result<std::string>)> done);
  /// Makes this machine a node of the swarm whose managers are named. Answers once its node side runs.
  void join(const agent::v1::JoinRequest& request, std::function<void(Status)> done);
  void leave(bool force, std::function<void(Status)> done);  ///< ends every task, forgets the swarm
  /// Opens a locked manager. kFailedPrecondition NOT_IN_SWARM, NOT_LOCKED; see DataKey::unlock.
  void unlock(const std::string& key, std::function<void(Status)> done);
  [[nodiscard]] bool locked() const;  ///< waits for its unlock key: only its node side runs
  [[nodiscard]] const std::string& unlock_key() const;
  [[nodiscard]] Recovery& recovery() { return *recovery_; }  ///< when the other managers are lost
  void drivers_changed();
  [[nodiscard]] control::Manager* manager() { return manager_.get(); }
  [[nodiscard]] Result<control::Manager*> serving_manager();  ///< else: locked, down, worker, in no swarm
  [[nodiscard]] node::NodeAgent* node() { return node_.get(); }
  [[nodiscard]] const std::optional<agent::v1::SwarmMembership>& membership() const { return membership_; }
  [[nodiscard]] std::string state() const;  ///< "inactive", "pending", "active", "locked" or "error"
  [[nodiscard]] const std::string& trouble() const { return trouble_.empty() ? link_trouble_ : trouble_; }
  [[nodiscard]] std::vector<std::string> warnings() const;  ///< what is wrong and stops nothing
  [[nodiscard]] std::vector<std::string> managers() const { return book_.managers(); }  ///< "ID=HOST:PORT"
  model::v1::NodeDescription describe();

 private:
  friend class Recovery;
  class Drivers;   // PluginHost as the node side's DriverDirectory
  class Security;  // data key, lock, certificates as the swarm wants them (swarm_security.h)
  void tell_manager_of_consensus();  // its log is opened again after a restart of the plugin
  Status start_node();
  // Certificates, the listener, and what managers tell (swarm_link.cc).
  void begin_roles();  // link and manager, once nothing is locked
  void start_link();
  Status use(const link::Credentials& credentials);
  Status save_and_use(const link::Credentials& credentials);
  void listen();
  void certify_self();  // a manager whose certificate files are gone, from the swarm's root
  void learn(const dispatch::v1::SessionMessage& message);
  void renew();
  void fetch_certificate(std::function<void(const Status&)> done);  // in the role this node has now
  Status take_certificate(Result<link::Credentials> answer);
  [[nodiscard]] std::optional<link::Role> certificate_role() const;
  ManagerCaller::Local local_manager() const;

  // Becoming a manager, and a worker again (swarm_manager.cc).
  Promotion::Hooks promotion_hooks();
  void role_told(model::v1::NodeRole role);
  Status taken_in(const manager::v1::JoinResponse& answer);
  void manager_started(const Status& status);
  void demoted();
  Status remove_manager_state();

  // Joining (swarm_join.cc).
  struct Attempt;
  void try_join(const std::shared_ptr<Attempt>& attempt);
  void joined(const std::shared_ptr<Attempt>& attempt, link::Joined joined);
  void start_manager(std::function<void(Status)> done);
  Status begin_init(const agent::v1::InitRequest& request, agent::v1::SwarmMembership membership,
                    const model::v1::RootCa& root);
  Status first_listen(const agent::v1::InitRequest& request);  // on loopback any port will do
  void bootstrap(const agent::v1::InitRequest& request, const model::v1::RootCa& root,
                 std::function<void(Status)> done);
  void give_up_init(Error error, const std::function<void(Result<std::string>)>& done);
  // Leaving (swarm_leave.cc).
  void warn_leaving(std::function<void(Status)> done);
  void step_down(std::function<void()> then);  // to a worker first, where the others can do without it
  void await_worker(TimePoint deadline, std::function<void()> then);
  void say_goodbye(TimePoint deadline, std::function<void()> then);
  void await_no_tasks(TimePoint deadline, std::function<void(Status)> done);
  Status forget();

  Env& env_;
  rpc::Caller& caller_;
  link::Link& link_;
  host::PluginHost& plugins_;
  const Paths& paths_;
  const Config& config_;
  const std::string installation_id_;
  std::optional<agent::v1::SwarmMembership> membership_;
  std::string trouble_;
  bool changing_ = true;  // an init, join or leave is under way, or start() did not look yet what this node is in
  std::string listen_trouble_;  // why other nodes cannot reach this manager
  std::string link_trouble_;  // why other nodes cannot be spoken to
  std::unique_ptr<Security> security_;
  ManagerBook book_;
  std::optional<link::Credentials> credentials_;
  std::unique_ptr<ManagerCaller> node_caller_;
  std::unique_ptr<link::Joining> joining_;
  std::unique_ptr<Recovery> recovery_;
  MemberToken member_;
  std::vector<consensus::v1::Member> join_members_;  // as the join answered, until the log tells
  Promotion promotion_;
  std::optional<model::v1::NodeRole> told_role_;  // by the last session message
  RenewalTimer renewal_;
  TimerId listen_timer_ = 0;
  std::unique_ptr<Drivers> drivers_;
  node::PosixNodeFacts facts_;
  std::unique_ptr<node::PosixSandboxMaker> sandboxes_;
  std::unique_ptr<Leftovers> leftovers_;
  std::unique_ptr<node::LevelRecordStore> records_;
  std::unique_ptr<node::NodeAgent> node_;
  std::unique_ptr<control::Manager> manager_;
};

}  // namespace skep::agentd
