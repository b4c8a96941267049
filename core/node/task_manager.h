#pragma once

// The tasks of this node: asks task_runner what comes next for each, has it performed, keeps the
// records, watches containers end and be healthy, and reports every change of status. Loop thread
// only.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/node/driver_watch.h"
#include "core/node/gate.h"
#include "core/node/health_probe.h"
#include "core/node/node.h"
#include "core/node/step_performer.h"
#include "core/node/task_runner.h"

namespace skep::node {

class TaskManager {
 public:
  using Report = std::function<void(const std::string& task_id, const model::v1::TaskStatus&)>;

  TaskManager(Env& env, rpc::Caller& caller, const NodeConfig& config, NodeParts parts,
              DriverWatch& drivers, Report report);
  ~TaskManager();
  TaskManager(const TaskManager&) = delete;
  TaskManager& operator=(const TaskManager&) = delete;

  /// Takes the records in and reports their states; steps wait until their drivers are ready.
  Status load();
  /// New or changed assignments, in the order managers sent them.
  void assign(const std::vector<model::v1::Task>& tasks);
  void remove(const std::vector<std::string>& task_ids);
  /// Everything this node should have: what is not in `tasks` goes.
  void assign_all(const std::vector<model::v1::Task>& tasks);

  /// Hooks of DriverWatch and of the reconciler.
  std::vector<std::string> adopt(const std::string& runtime,
                                 const DriverWatch::Containers& listed);
  /// Compares `listed` with the records nothing happened to since `asked_at`.
  void take_containers(const std::string& runtime, const DriverWatch::Containers& listed,
                       TimePoint asked_at);
  volume::v1::RecoverRequest volumes_in_use(const std::string& driver) const;
  network::v1::RecoverRequest endpoints_in_use(const std::string& driver) const;
  /// Looks at every task again: drivers changed, records to be written.
  void pump_all();

  /// Assigned tasks are known: what no record names belongs to nobody.
  [[nodiscard]] bool has_complete_assignment() const { return complete_; }
  [[nodiscard]] const v1::TaskRecord* record(const std::string& task_id) const;
  [[nodiscard]] std::vector<std::string> ids() const;
  /// The task may have a sandbox, or an endpoint on the network.
  [[nodiscard]] bool uses_sandbox(const std::string& task_id) const;
  [[nodiscard]] bool uses_endpoint(const std::string& task_id, const std::string& network_id) const;

 private:
  struct Entry {
    v1::TaskRecord record;
    TaskView view;
    std::optional<Step> in_flight;
    StepPerformer::Abandon abandon;
    TimerId wake = 0;
    TimePoint touched = TimePoint::min();  ///< last step or answer
    bool dirty = true;                     ///< the record on disk is older
    bool end_synced = false;               ///< that it ended is on disk, also after a power failure
    model::v1::TaskState reported = model::v1::TASK_STATE_NEW;
    rpc::CallId wait = 0;       ///< open runtime/1/wait
    bool wait_paused = false;   ///< it failed a moment ago
    std::unique_ptr<HealthProbe> health;
  };
  /// One pull serves every task that wants the same image with the same credential.
  struct Pull {
    std::set<std::string> waiting;
    StepPerformer::Abandon abandon;
  };

  Entry& add(v1::TaskRecord record);
  void create(const model::v1::Task& task);
  void take_container(const std::string& id, Entry& entry, const runtime::v1::ContainerInfo* info);

  // task_pump.cc
  void pump(const std::string& id);
  void pump_once(const std::string& id, Entry& entry);
  /// Performs it or starts to; false: nothing can be done now.
  bool take_step(const std::string& id, Entry& entry, const Step& step);
  bool enter_gate(const std::string& id, const Step& step);
  void leave_gate(Gate& gate, const std::string& id);
  void leave_gates(const std::string& id);
  void perform(const std::string& id, Entry& entry, const Step& step);
  void pull(const std::string& id, Entry& entry);
  void on_pulled(const std::string& key, const StepOutcome& outcome);
  void on_outcome(const std::string& id, const Step& step, const StepOutcome& outcome);
  void take_outcome(Entry& entry, const Step& step, const StepOutcome& outcome);
  void interrupt(const std::string& id, Entry& entry);
  void report(const std::string& id, Entry& entry);
  void save(Entry& entry);
  void forget(const std::string& id);
  void wake_at(const std::string& id, Entry& entry, TimePoint at);

  // task_watch.cc
  void watch_exit(const std::string& id, Entry& entry);
  void end_wait(Entry& entry);
  void on_wait(const std::string& id, Result<runtime::v1::WaitResponse> reply);
  void watch_health(const std::string& id, Entry& entry);

  [[nodiscard]] bool network_in_use(const std::string& id, const v1::EndpointUse& use) const;
  [[nodiscard]] NodeIdentity identity() const;

  Env& env_;
  rpc::Caller& caller_;
  const NodeConfig& config_;
  NodeParts parts_;
  DriverWatch& drivers_;
  Report report_;
  StepPerformer performer_;
  Gate starts_;
  Gate clean_ups_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, Pull> pulls_;  ///< by runtime, image and credential
  std::vector<std::string> pumping_;                    ///< queue of pump(), against recursion
  bool in_pump_ = false;
  bool complete_ = false;
  bool save_failed_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::node
