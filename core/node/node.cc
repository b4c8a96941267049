#include "core/node/node.h"

#include <chrono>

#include "core/node/driver_watch.h"
#include "core/node/reconciler.h"
#include "core/node/session.h"
#include "core/model/task_state.h"
#include "core/node/task_manager.h"
#include "skep/log.h"

namespace skep::node {

class NodeAgent::Impl {
 public:
  Impl(Env& env, rpc::Caller& caller, NodeConfig config, NodeParts parts)
      : config_(std::move(config)),
        parts_(parts),
        drivers_(env, caller, parts.drivers, driver_hooks()),
        tasks_(env, caller, config_, parts, drivers_,
               [this](const std::string& id, const model::v1::TaskStatus& status) {
                 session_.report(id, status);
               }),
        reconciler_(env, caller, config_, parts, drivers_, tasks_),
        session_(env, caller, config_, session_hooks()) {}

  Status start() {
    SKEP_TRY(tasks_.load());
    drivers_.check();
    tasks_.pump_all();
    reconciler_.start();
    session_.start();
    return ok();
  }

  void drivers_changed() {
    drivers_.check();
    session_.describe();
  }

  [[nodiscard]] model::v1::NodeDescription description() const {
    model::v1::NodeDescription result;
    result.set_hostname(parts_.facts.hostname());
    *result.mutable_platform() = parts_.facts.platform();
    *result.mutable_resources() = parts_.facts.resources();
    auto& engine = *result.mutable_engine();
    engine.set_version(config_.version);
    for (const auto& [key, value] : config_.engine_labels) {
      (*engine.mutable_labels())[key] = value;
    }
    for (auto& name : drivers_.names()) {
      engine.add_drivers(std::move(name));
    }
    if (config_.tls) {
      *result.mutable_tls() = config_.tls();
    }
    return result;
  }

  NodeConfig config_;
  NodeParts parts_;
  DriverWatch drivers_;
  TaskManager tasks_;
  Reconciler reconciler_;
  Session session_;

 private:
  DriverWatch::Hooks driver_hooks() {
    return {.volumes_in_use = [this](const auto& driver) { return tasks_.volumes_in_use(driver); },
            .endpoints_in_use =
                [this](const auto& driver) { return tasks_.endpoints_in_use(driver); },
            .adopt = [this](const auto& runtime,
                            const auto& listed) { return tasks_.adopt(runtime, listed); },
            .containers_recovered =
                [this](const auto& runtime, const auto& found) {
                  tasks_.take_containers(runtime, found, TimePoint::max());
                },
            .changed = [this] { tasks_.pump_all(); }};
  }

  Session::Hooks session_hooks() {
    return {.description = [this] { return description(); },
            .assignments =
                [this](const AssignmentTracker::Assignments& assignments) {
                  if (assignments.complete) {
                    return tasks_.assign_all(assignments.tasks);
                  }
                  tasks_.remove(assignments.removed_tasks);
                  tasks_.assign(assignments.tasks);
                },
            .is_known =
                [this](const std::string& id) {
                  const auto* record = tasks_.record(id);
                  return record != nullptr && !record->removed();
                }};
  }
};

NodeAgent::NodeAgent(Env& env, rpc::Caller& caller, NodeConfig config, NodeParts parts)
    : impl_(std::make_unique<Impl>(env, caller, std::move(config), parts)) {}

NodeAgent::~NodeAgent() = default;

Status NodeAgent::start() { return impl_->start(); }

void NodeAgent::stop() { impl_.reset(); }

void NodeAgent::drivers_changed() {
  if (impl_) {
    impl_->drivers_changed();
  }
}

void NodeAgent::describe() {
  if (impl_) {
    impl_->session_.describe();
  }
}

void NodeAgent::announce(Farewell farewell, std::function<void()> done) {
  if (impl_) {
    impl_->session_.announce(farewell, std::move(done));
  } else {
    done();
  }
}

void NodeAgent::set_stopping(bool stopping) {
  if (impl_) {
    impl_->session_.set_stopping(stopping);
  }
}

model::v1::NodeDescription NodeAgent::description() const {
  return impl_ ? impl_->description() : model::v1::NodeDescription();
}

NodeCounters NodeAgent::counters() const {
  NodeCounters counters;
  if (!impl_) {
    return counters;
  }
  for (const auto& id : impl_->tasks_.ids()) {
    ++counters.tasks;
    const auto state = record(id)->status().state();
    counters.running += state == model::v1::TASK_STATE_RUNNING ? 1U : 0U;
    counters.alive += model::is_terminal(state) ? 0U : 1U;
  }
  counters.session = impl_->session_.up();
  return counters;
}

std::optional<ContainerPlace> NodeAgent::container_of(const std::string& task_id) const {
  const auto* known = record(task_id);
  if (known == nullptr || (known->container() != v1::PROGRESS_DONE)) {
    return std::nullopt;
  }
  return ContainerPlace{.runtime = "runtime/" + known->runtime(),
                        .container_id = known->container_id(),
                        .task_name = known->name()};
}

std::vector<std::string> NodeAgent::task_ids() const {
  return impl_ ? impl_->tasks_.ids() : std::vector<std::string>();
}

const v1::TaskRecord* NodeAgent::record(const std::string& task_id) const {
  return impl_ ? impl_->tasks_.record(task_id) : nullptr;
}

}  // namespace skep::node
