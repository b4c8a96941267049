#include "core/control/orchestrator/update.h"

#include <algorithm>

#include "core/control/orchestrator/update_progress.h"
#include "core/model/defaults.h"
#include "core/model/task_state.h"
#include "core/model/validate.h"

namespace skep::control {

using model::is_runnable;
using pb::UpdateConfig;
using pb::UpdateStatus;

namespace {

void set_status(pb::Service& service, UpdateStatus::State state, WallTime now,
                std::string message) {
  UpdateStatus& status = *service.mutable_update_status();
  if (state == UpdateStatus::UPDATING || state == UpdateStatus::ROLLBACK_STARTED) {
    status.set_started_at(now);
    status.clear_completed_at();
  } else {
    status.set_completed_at(now);
  }
  status.set_state(state);
  status.set_message(std::move(message));
}

/// Host-mode ports are part of what a task is; ingress ports change without it.
bool same_host_ports(const pb::Task& task, const pb::Service& service) {
  if (task.ports().empty() && service.spec().endpoint().ports().empty()) {
    return true;
  }
  const auto host_ports = [](const auto& ports) {
    std::string bytes;
    for (const pb::PublishedPort& port : ports) {
      if (port.mode() == pb::PublishedPort::HOST) {
        bytes += port.SerializeAsString();
      }
    }
    return bytes;
  };
  // A task that was not prepared yet has no ports; it will get the present ones.
  return task.status().state() == pb::TASK_STATE_NEW ||
         host_ports(task.ports()) == host_ports(service.spec().endpoint().ports());
}

void replace_slot(const ServiceContext& context, Slot& slot, const UpdateConfig& config) {
  const bool start_first = config.order() == UpdateConfig::START_FIRST && slot.is_running();
  for (Slot::Entry& entry : slot.entries()) {
    const pb::Task& task = entry.task();
    const bool serves = start_first && task.status().state() == pb::TASK_STATE_RUNNING;
    if (model::is_wanted(task) && !serves) {
      request_stop(entry.edit(), pb::TASK_STATE_SHUTDOWN, context.now);
    }
  }
  std::erase_if(slot.entries(), [](const Slot::Entry& entry) { return entry.created(); });
  slot.create_task(context, 0, nullptr);
}

std::string failure_message(bool rolling_back, std::string_view verb, const Progress& progress) {
  return std::string(rolling_back ? "rollback " : "update ") + std::string(verb) +
         " due to failure or early termination of task " + progress.failed_task +
         (progress.failure.empty() ? "" : ": " + progress.failure);
}

/// What too many failures lead to. Absent: carry on.
std::optional<pb::Service> act_on_failures(const ServiceContext& context, const Progress& progress,
                                           const UpdateConfig& config, bool rolling_back) {
  const auto ratio = static_cast<float>(progress.failed) / static_cast<float>(progress.total());
  if (progress.failed == 0 || ratio <= config.max_failure_ratio() ||
      config.failure_action() == UpdateConfig::CONTINUE) {
    return std::nullopt;
  }
  if (config.failure_action() == UpdateConfig::ROLLBACK && !rolling_back) {
    auto service = begin_rollback(context.service, context.service.meta().version(), context.now,
                                  failure_message(false, "rolled back", progress));
    if (service) {
      return *std::move(service);
    }
  }
  pb::Service service = context.service;
  set_status(service, rolling_back ? UpdateStatus::ROLLBACK_PAUSED : UpdateStatus::PAUSED,
             context.now, failure_message(rolling_back, "paused", progress));
  return service;
}

std::optional<pb::Service> finish_if_done(const ServiceContext& context, const Progress& progress,
                                          const UpdateConfig& config, bool rolling_back,
                                          Decision& decision) {
  if (!progress.dirty.empty() || progress.in_flight > 0) {
    return std::nullopt;
  }
  Duration monitor = model::update_monitor(config);
  if (Duration(config.delay()) >= monitor) {
    monitor = Duration(config.delay()) + std::chrono::seconds(1);
  }
  const WallTime watched_until = progress.last_attempt + monitor.count();
  if (progress.attempted > 0 && watched_until > context.now) {
    decision.wake(watched_until);
    return std::nullopt;
  }
  pb::Service service = context.service;
  set_status(service, rolling_back ? UpdateStatus::ROLLBACK_COMPLETED : UpdateStatus::COMPLETED,
             context.now, rolling_back ? "rollback completed" : "update completed");
  return service;
}

}  // namespace

bool is_up_to_date(const ServiceContext& context, const pb::Task& task) {
  const pb::ServiceSpec& spec = context.service.spec();
  bool same = task.spec_version() == context.service.spec_version();
  if (!same) {
    const auto known = context.version_is_current.find(task.spec_version());
    same = known != context.version_is_current.end()
               ? known->second
               : context.version_is_current
                     .emplace(task.spec_version(), model::task_specs_equal(task.spec(), spec.task()))
                     .first->second;
  }
  if (!same || !same_host_ports(task, context.service)) {
    return false;
  }
  if (task.node_id().empty()) {  // It waits for a place by what it says itself.
    return task.spec_version() == context.service.spec_version() ||
           task.spec().placement().SerializeAsString() == spec.task().placement().SerializeAsString();
  }
  if (spec.task().placement().constraints().empty()) {
    return true;
  }
  if (!context.constraints) {
    context.constraints = model::parse_constraints(spec.task().placement().constraints())
                              .value_or(std::vector<model::Constraint>());
  }
  const auto node = context.view.get<pb::Node>(task.node_id());
  return node == nullptr || model::first_mismatch(*context.constraints, *node) == nullptr;
}

bool update_in_progress(const pb::Service& service) {
  const auto state = service.update_status().state();
  return state == UpdateStatus::UPDATING || state == UpdateStatus::ROLLBACK_STARTED;
}

bool update_paused(const pb::Service& service) {
  const auto state = service.update_status().state();
  return state == UpdateStatus::PAUSED || state == UpdateStatus::ROLLBACK_PAUSED;
}

void converge_slot(const ServiceContext& context, Slot& slot) {
  if (slot.runnable_count() < 2) {
    return;
  }
  const pb::Task* current = nullptr;
  const pb::Task* running = nullptr;
  for (const Slot::Entry& entry : slot.entries()) {  // Newest first: the first of a sort wins.
    const pb::Task& task = entry.task();
    if (!is_runnable(task)) {
      continue;
    }
    const bool up_to_date = is_up_to_date(context, task);
    const bool runs = task.status().state() == pb::TASK_STATE_RUNNING;
    if (up_to_date && (current == nullptr ||
                       (runs && current->status().state() != pb::TASK_STATE_RUNNING))) {
      current = &task;
    }
    if (runs && (running == nullptr || (up_to_date && !is_up_to_date(context, *running)))) {
      running = &task;
    }
  }
  const bool arrived =
      current != nullptr && current->status().state() == pb::TASK_STATE_RUNNING;
  const pb::Task* stays_too = arrived ? nullptr : running;
  if (current == nullptr && running == nullptr) {
    current = slot.runnable();
  }
  for (Slot::Entry& entry : slot.entries()) {
    const pb::Task* task = &entry.task();
    if (is_runnable(*task) && task != current && task != stays_too) {
      request_stop(entry.edit(), pb::TASK_STATE_SHUTDOWN, context.now);
    }
  }
}

std::optional<pb::Service> update_slots(const ServiceContext& context, Slots& slots,
                                        Decision& decision) {
  const pb::Service& service = context.service;
  if (update_paused(service)) {
    return std::nullopt;
  }
  const bool rolling_back = service.update_status().state() == UpdateStatus::ROLLBACK_STARTED;
  const UpdateConfig config = rolling_back ? model::effective_rollback(service.spec())
                                           : model::effective_update(service.spec());
  if (!update_in_progress(service)) {
    Decision ignored;  // Deadlines matter only while an update runs.
    if (measure_progress(context, slots, config, ignored).dirty.empty()) {
      return std::nullopt;
    }
    // First the status, then the slots: a leader that takes over in between sees an update.
    pb::Service started = service;
    set_status(started, UpdateStatus::UPDATING, context.now, "update in progress");
    return started;
  }
  const Progress progress = measure_progress(context, slots, config, decision);
  if (auto changed = act_on_failures(context, progress, config, rolling_back)) {
    return changed;
  }
  if (auto changed = finish_if_done(context, progress, config, rolling_back, decision)) {
    return changed;
  }
  const std::size_t parallel =
      config.parallelism() == 0 ? slots.size() : static_cast<std::size_t>(config.parallelism());
  std::size_t room = parallel - std::min(parallel, progress.in_flight);
  for (Slot* slot : progress.dirty) {
    if (room-- == 0) {
      break;
    }
    replace_slot(context, *slot, config);
  }
  return std::nullopt;
}

Result<pb::Service> begin_rollback(const pb::Service& service, std::uint64_t spec_version,
                                   WallTime now, std::string message) {
  if (!service.has_previous_spec()) {
    return Error{Code::kFailedPrecondition,
                 "service '" + service.spec().name() +
                     "' does not have a previous spec: it was not updated since it was created or "
                     "rolled back",
                 "NO_PREVIOUS_SPEC"};
  }
  pb::Service result = service;
  *result.mutable_spec() = service.previous_spec();
  result.clear_previous_spec();
  result.set_spec_version(spec_version);
  set_status(result, UpdateStatus::ROLLBACK_STARTED, now, std::move(message));
  return result;
}

}  // namespace skep::control
