#pragma once

// The part this agent plays in a swarm: keeps its membership on disk, and makes and drops the manager
// role and the node side as it changes. Loop thread only.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/agentd/config.h"
#include "core/control/manager.h"
#include "core/node/level_records.h"
#include "core/node/node.h"
#include "core/node/posix_facts.h"
#include "core/node/posix_sandbox.h"
#include "core/pluginhost/plugin_host.h"
#include "skep/agent.pb.h"
#include "skep/env.h"

namespace skep::agentd {

class Swarm {
 public:
  Swarm(Env& env, rpc::Caller& caller, host::PluginHost& plugins, const Paths& paths, const Config& config,
        std::string installation_id);
  ~Swarm();
  Swarm(const Swarm&) = delete;
  Swarm& operator=(const Swarm&) = delete;

  /// Takes up the membership on disk, if there is one. An error keeps the agent from starting.
  Status start();
  /// Before stop(), when this agent will be back: managers then wait for it. Within a second.
  void announce_restart(std::function<void()> done);
  /// Stops manager and node side; tasks stay.
  void stop(std::function<void()> done);

  /// Makes a new swarm with this node as its manager. Answers the node id once the node is in it.
  void init(const agent::v1::InitRequest& request, std::function<void(Result<std::string>)> done);
  /// Stops every task of this node and forgets the swarm.
  void leave(bool force, std::function<void(Status)> done);

  void drivers_changed();
  [[nodiscard]] control::Manager* manager() { return manager_.get(); }
  [[nodiscard]] node::NodeAgent* node() { return node_.get(); }
  [[nodiscard]] const std::optional<agent::v1::SwarmMembership>& membership() const { return membership_; }
  /// "inactive", "pending", "active" or "error".
  [[nodiscard]] std::string state() const;
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  model::v1::NodeDescription describe();

 private:
  class Drivers;  // PluginHost as the node side's DriverDirectory

  /// Its log must be opened again after a restart of the plugin.
  void tell_manager_of_consensus();
  Status start_node();
  void start_manager(std::function<void(Status)> done);
  void bootstrap(const agent::v1::InitRequest& request, std::function<void(Status)> done);
  void give_up_init(Error error, const std::function<void(Result<std::string>)>& done);
  void remove_tasks(std::function<void()> done);
  Status forget();

  Env& env_;
  rpc::Caller& caller_;
  host::PluginHost& plugins_;
  const Paths& paths_;
  const Config& config_;
  const std::string installation_id_;
  std::optional<agent::v1::SwarmMembership> membership_;
  std::string trouble_;
  bool changing_ = false;  // an init or leave is under way
  std::unique_ptr<Drivers> drivers_;
  node::PosixNodeFacts facts_;
  std::unique_ptr<node::PosixSandboxMaker> sandboxes_;
  std::unique_ptr<node::LevelRecordStore> records_;
  std::unique_ptr<node::NodeAgent> node_;
  std::unique_ptr<control::Manager> manager_;
};

}  // namespace skep::agentd
