#pragma once

// The worker side of one agent: keeps a session with the managers, runs the tasks they assign
// through the drivers, and reports. Everything it does goes through Env, the Caller (drivers
// "runtime/oci", "volume/local", "network/bridge", and "core" for skep.dispatch.v1.Dispatch) and
// the interfaces of parts.h, so the same code runs in the simulator. One loop, one thread.
//
// Stopping it stops no task: containers, sandboxes, endpoints and mounts stay, and the next start
// adopts them.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/node/parts.h"
#include "skep/dispatch.pb.h"
#include "skep/env.h"
#include "skep/model.pb.h"
#include "skep/rpc.h"

namespace skep::node {

struct NodeConfig {
  std::string node_id;
  std::string installation_id;  ///< tag of everything this agent makes
  std::string run_dir;          ///< "/run/skep" under the agent's root; per-task files go below
  std::string version;          ///< of the agent, for the description
  std::map<std::string, std::string> engine_labels = {};
  std::string dispatcher = "core";         ///< target of the Dispatch calls
  std::string default_runtime = "oci";
  std::string gateway_driver = "bridge";   ///< network/bridge gives tasks the way out
  std::string gateway_network = "skep_gwbridge";
  /// Asked first about every session message: an error ends the session, and another manager is tried.
  std::function<Status(const dispatch::v1::SessionMessage&)> admit = {};
  /// Told of every session message: who the managers are, who leads, what this node should be.
  std::function<void(const dispatch::v1::SessionMessage&)> on_session = {};
  /// Told when a manager that was asked for a session says nothing: another should be asked.
  std::function<void()> on_silence = {};
  /// Told when a manager refuses this node's session for a reason that people must look into.
  std::function<void(const Error&)> on_refused = {};
  /// Which certificate this node has, for the description.
  std::function<model::v1::TlsInfo()> tls = {};
  std::uint32_t starts_max = 8;   ///< tasks that are being prepared or started at once
  std::uint32_t clean_ups_max = 8;
  std::int64_t log_size_max = 0;  ///< bytes per log file of a container; 0 = the runtime's default
  std::uint32_t log_files_max = 0;
};

/// References stay valid until the NodeAgent is gone.
struct NodeParts {
  SandboxMaker& sandboxes;
  RecordStore& records;
  DriverDirectory& drivers;
  NodeFacts& facts;
};

/// Where the container of a task can be asked for logs, exec and the like.
struct ContainerPlace {
  std::string runtime;  ///< target: "runtime/oci"
  std::string container_id;
  std::string task_name;  ///< "web.1.TASKID"
};

struct NodeCounters {
  std::size_t tasks = 0;    ///< records held, dead ones that keep their logs included
  std::size_t running = 0;  ///< in state running
  std::size_t alive = 0;    ///< not ended yet
  bool session = false;     ///< a session with a manager is up
};

/// What managers are told when this agent ends: they wait 30 s for one that will be back (SIGTERM)
/// instead of giving its tasks to others, and hold one that leaves for good for down at once.
enum class Farewell { kWillBeBack, kForGood };

class NodeAgent {
 public:
  NodeAgent(Env& env, rpc::Caller& caller, NodeConfig config, NodeParts parts);
  ~NodeAgent();
  NodeAgent(const NodeAgent&) = delete;
  NodeAgent& operator=(const NodeAgent&) = delete;

  /// Loads the records, adopts what runs, opens the session. kDataLoss: records unreadable.
  Status start();
  /// Ends session and timers; running tasks stay. Afterwards it knows no task; not for a callback of
  /// this object.
  void stop();

  /// Before stop(), see Farewell. `done` comes within a second, answered or not.
  void announce(Farewell farewell, std::function<void()> done);
  /// Tells the managers to give this node's tasks to others now, for it stops for longer; they end here
  /// when the managers say so. false: it stays after all.
  void set_stopping(bool stopping);
  /// The plugin host calls it when a driver appeared, died or changed its health.
  void drivers_changed();
  /// What it tells managers of itself may have changed (the certificate).
  void describe();
  /// What the session tells managers.
  [[nodiscard]] model::v1::NodeDescription description() const;
  [[nodiscard]] NodeCounters counters() const;
  /// nullopt: this node has no container of that task.
  [[nodiscard]] std::optional<ContainerPlace> container_of(const std::string& task_id) const;
  /// Task ids this node holds, in order.
  [[nodiscard]] std::vector<std::string> task_ids() const;
  /// The record of a task, for `agentctl why` and tests; nullptr when unknown. Valid until the loop
  /// runs again.
  [[nodiscard]] const v1::TaskRecord* record(const std::string& task_id) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::node
