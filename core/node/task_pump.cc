// The engine of TaskManager: from "what comes next" to a driver call and back.

#include <algorithm>
#include <chrono>

#include "core/model/task_state.h"
#include "core/node/record.h"
#include "core/node/task_manager.h"
#include "skep/log.h"

namespace skep::node {

void TaskManager::pump(const std::string& id) {
  pumping_.push_back(id);
  if (in_pump_) {
    return;
  }
  in_pump_ = true;
  for (std::size_t i = 0; i < pumping_.size(); ++i) {
    const std::string next = pumping_[i];
    if (const auto it = entries_.find(next); it != entries_.end()) {
      pump_once(next, it->second);
    }
  }
  pumping_.clear();
  in_pump_ = false;
}

void TaskManager::pump_once(const std::string& id, Entry& entry) {
  watch_exit(id, entry);
  watch_health(id, entry);
  while (!entry.in_flight) {
    entry.dirty |= advance(entry.record, entry.view, env_.clock.wall_now());
    report(id, entry);
    watch_exit(id, entry);
    watch_health(id, entry);
    const NextStep next = next_step(entry.record, entry.view, env_.loop.now());
    if (next.step && next.step->kind == StepKind::kForget) {
      return forget(id);
    }
    if (next.step && take_step(id, entry, *next.step)) {
      continue;
    }
    if (!next.step) {
      leave_gates(id);
      if (next.wake) {
        wake_at(id, entry, *next.wake);
      }
    }
    break;
  }
  save(entry);
}

bool TaskManager::take_step(const std::string& id, Entry& entry, const Step& step) {
  const std::string driver = driver_of(entry.record, step);
  if (!driver.empty()) {
    const auto availability = drivers_.availability(driver);
    if (availability == DriverWatch::Availability::kRecovering) {
      leave_gates(id);
      return false;  // pumped again when it is ready
    }
    if (availability == DriverWatch::Availability::kMissing) {
      take_outcome(entry, step,
                   {.status = Error{Code::kUnavailable,
                                    "driver '" + driver +
                                        "' does not run on this node: see 'agentctl plugin ls'",
                                    "DRIVER_MISSING"}});
      return true;
    }
  }
  if (step.kind == StepKind::kPullImage) {
    leave_gates(id);
    pull(id, entry);
    return true;
  }
  if (step.kind == StepKind::kDeleteNetwork &&
      network_in_use(id, entry.record.endpoints(step.index))) {
    take_outcome(entry, step, {});
    return true;
  }
  if (!enter_gate(id, step)) {
    return false;  // pumped again when somebody leaves
  }
  perform(id, entry, step);
  return true;
}

bool TaskManager::enter_gate(const std::string& id, const Step& step) {
  if (step.kind == StepKind::kStopContainer || step.kind == StepKind::kInspectContainer) {
    leave_gates(id);
    return true;  // a grace period must not hold up others
  }
  if (is_run_step(step.kind)) {
    return starts_.enter(id);
  }
  leave_gate(starts_, id);
  return clean_ups_.enter(id);
}

void TaskManager::leave_gate(Gate& gate, const std::string& id) {
  if (const std::string next = gate.leave(id); !next.empty()) {
    pump(next);
  }
}

void TaskManager::leave_gates(const std::string& id) {
  leave_gate(starts_, id);
  leave_gate(clean_ups_, id);
}

void TaskManager::perform(const std::string& id, Entry& entry, const Step& step) {
  entry.dirty |= mark_attempted(entry.record, step);
  save(entry);
  entry.in_flight = step;
  entry.touched = env_.loop.now();
  SKEP_DEBUG("task step", {"task", id}, {"step", step_name(step.kind)});
  entry.abandon = performer_.perform(entry.record, step,
                                     [this, id, step](const StepOutcome& outcome) {
                                       on_outcome(id, step, outcome);
                                     });
}

void TaskManager::pull(const std::string& id, Entry& entry) {
  const auto& spec = entry.record.task().spec().container();
  const std::string key = entry.record.runtime() + '\n' + spec.image() + '\n' + spec.registry_auth();
  const Step step{StepKind::kPullImage};
  auto& shared = pulls_[key];
  const bool first = shared.waiting.empty();
  shared.waiting.insert(id);
  if (first) {
    shared.abandon = performer_.perform(
        entry.record, step, [this, key](const StepOutcome& outcome) { on_pulled(key, outcome); });
  }
  save(entry);
  entry.in_flight = step;
  entry.touched = env_.loop.now();
  entry.abandon = [this, id, key] {
    const auto it = pulls_.find(key);
    if (it == pulls_.end()) {
      return;
    }
    it->second.waiting.erase(id);
    if (it->second.waiting.empty()) {
      it->second.abandon();
      pulls_.erase(it);
    }
  };
}

void TaskManager::on_pulled(const std::string& key, const StepOutcome& outcome) {
  const auto it = pulls_.find(key);
  if (it == pulls_.end()) {
    return;
  }
  const auto waiting = std::move(it->second.waiting);
  pulls_.erase(it);
  for (const auto& id : waiting) {
    on_outcome(id, {StepKind::kPullImage}, outcome);
  }
}

void TaskManager::on_outcome(const std::string& id, const Step& step, const StepOutcome& outcome) {
  const auto it = entries_.find(id);
  if (it == entries_.end() || it->second.in_flight != step) {
    return;
  }
  it->second.in_flight.reset();
  it->second.abandon = nullptr;
  take_outcome(it->second, step, outcome);
  pump(id);
}

void TaskManager::take_outcome(Entry& entry, const Step& step, const StepOutcome& outcome) {
  if (!outcome.status) {
    SKEP_DEBUG("task step failed", {"task", entry.record.task().id()},
               {"step", step_name(step.kind)}, {"cause", outcome.status.error().message});
  }
  const NodeIdentity node = identity();
  apply(entry.record, entry.view, step, outcome, {.config = config_, .node = node},
        env_.loop.now(), env_.clock.wall_now());
  entry.touched = env_.loop.now();
  entry.dirty = true;
}

void TaskManager::interrupt(const std::string& id, Entry& entry) {
  // Everything but a pull ends by itself soon, and its effect should be known.
  if (wants_end(entry.record) && entry.in_flight &&
      entry.in_flight->kind == StepKind::kPullImage) {
    entry.in_flight.reset();
    std::exchange(entry.abandon, nullptr)();
    leave_gates(id);
  }
}

void TaskManager::report(const std::string& id, Entry& entry) {
  const auto state = entry.record.status().state();
  if (state == entry.reported || entry.record.removed()) {
    return;
  }
  entry.reported = state;
  report_(id, entry.record.status());
}

void TaskManager::save(Entry& entry) {
  if (!entry.dirty) {
    return;
  }
  const bool secret = !entry.record.task().spec().container().registry_auth().empty();
  // Before it is reported: a record of before its start would bring a task back that the managers know to be over.
  const bool ended = !entry.end_synced && model::is_terminal(entry.record.status().state());
  const auto how = ended ? RecordStore::Write::kSynced : RecordStore::Write::kPlain;
  const auto status = secret ? parts_.records.put(without_credentials(entry.record), how)
                             : parts_.records.put(entry.record, how);
  if (!status) {
    // The runtime's labels hold enough to go on without; written again when the task moves.
    if (!std::exchange(save_failed_, true)) {
      SKEP_ERROR("task record was not written", {"task", entry.record.task().id()},
                 {"cause", status.error().message});
    }
    return;
  }
  save_failed_ = false;
  entry.dirty = false;
  entry.end_synced = entry.end_synced || ended;
}

void TaskManager::forget(const std::string& id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) {
    return;
  }
  if (auto status = parts_.records.remove(id); !status) {
    SKEP_ERROR("task record was not removed", {"task", id}, {"cause", status.error().message});
  }
  if (it->second.wake != 0) {
    env_.loop.cancel_timer(it->second.wake);
  }
  end_wait(it->second);
  entries_.erase(it);
  leave_gates(id);
}

void TaskManager::wake_at(const std::string& id, Entry& entry, TimePoint at) {
  if (entry.wake != 0) {
    env_.loop.cancel_timer(entry.wake);
  }
  const Duration delay = std::max(Duration(0), at - env_.loop.now());
  entry.wake = env_.loop.run_after(delay, [this, id] {
    if (const auto it = entries_.find(id); it != entries_.end()) {
      it->second.wake = 0;
      pump(id);
    }
  });
}

}  // namespace skep::node
