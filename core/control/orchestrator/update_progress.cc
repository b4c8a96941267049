#include "core/control/orchestrator/update_progress.h"

#include <algorithm>
#include <optional>

#include "core/control/orchestrator/update.h"
#include "core/model/defaults.h"
#include "core/model/task_state.h"
#include "core/model/task_status.h"
#include "core/model/units.h"

namespace skep::control {

using model::is_runnable;

namespace {

/// What became of one slot's replacement.
struct Attempt {
  bool exists = false;                  // some task of the present version is or was there
  std::optional<WallTime> reached;      // first time one ran or ended
  const pb::Task* failed = nullptr;
  std::string failure;
};

bool counts_as_failure(const pb::Task& task, const pb::RestartPolicy& policy, Duration monitor) {
  const pb::TaskState state = task.status().state();
  const bool ended_badly =
      state == pb::TASK_STATE_FAILED || state == pb::TASK_STATE_REJECTED ||
      (state == pb::TASK_STATE_COMPLETE && policy.condition() == pb::RestartPolicy::ANY);
  return ended_badly && (task.running_since() == 0 ||
                         task.meta().updated_at() - task.running_since() <= monitor.count());
}

WallTime reached_at(const ServiceContext& context, const pb::Task& task) {
  const WallTime since = model::running_since(task);
  return context.since(since != 0 ? since : task.meta().updated_at());
}

/// A replacement that makes no progress for too long has failed too: updates end.
bool is_stuck(const ServiceContext& context, const pb::Task& task, Decision& decision) {
  if (!is_runnable(task) || task.status().state() == pb::TASK_STATE_RUNNING) {
    return false;
  }
  const WallTime since =
      std::max(context.since(task.meta().updated_at()), context.since(task.meta().created_at()));
  const WallTime deadline = since + Duration(model::kUpdateStartDeadline).count();
  if (deadline <= context.now) {
    return true;
  }
  decision.wake(deadline);
  return false;
}

Attempt look_at(const ServiceContext& context, const Slot& slot, Duration monitor,
                Decision& decision) {
  Attempt attempt;
  const pb::RestartPolicy& policy = context.service.spec().task().restart();
  for (const Slot::Entry& entry : slot.entries()) {
    const pb::Task& task = entry.task();
    if (task.spec_version() != context.service.spec_version()) {
      continue;
    }
    attempt.exists = true;
    const bool ran = task.status().state() >= pb::TASK_STATE_RUNNING;
    if (ran && !entry.created()) {
      const WallTime reached = reached_at(context, task);
      attempt.reached = std::min(attempt.reached.value_or(reached), reached);
    }
    if (counts_as_failure(task, policy, monitor)) {
      attempt.failed = &task;
      attempt.failure = task.status().error().empty() ? task.status().message() : task.status().error();
    } else if (is_stuck(context, task, decision)) {
      attempt.failed = &task;
      attempt.failure = "not running after " +
                        model::print_duration(Duration(model::kUpdateStartDeadline)) + " in state " +
                        std::string(model::task_state_name(task.status().state())) +
                        (task.status().error().empty() ? "" : " (" + task.status().error() + ")");
      attempt.reached = attempt.reached.value_or(context.now);
    }
  }
  return attempt;
}

bool slot_is_dirty(const ServiceContext& context, const Slot& slot) {
  bool wanted = false;
  for (const Slot::Entry& entry : slot.entries()) {
    if (is_runnable(entry.task())) {
      wanted = true;
      if (!is_up_to_date(context, entry.task())) {
        return true;
      }
    }
  }
  // What ended for good is replaced by an update too.
  return !wanted && slot.newest() != nullptr && !is_up_to_date(context, *slot.newest());
}

}  // namespace

Progress measure_progress(const ServiceContext& context, Slots& slots,
                          const pb::UpdateConfig& config, Decision& decision) {
  Progress progress;
  const Duration monitor = model::update_monitor(config);
  for (auto& [key, slot] : slots) {
    const Attempt attempt = look_at(context, slot, monitor, decision);
    if (attempt.failed != nullptr) {
      ++progress.failed;
      progress.failed_task = attempt.failed->id();
      progress.failure = attempt.failure;
    }
    if (attempt.reached) {
      ++progress.attempted;
      progress.last_attempt = std::max(progress.last_attempt, *attempt.reached);
      const WallTime rests_until = *attempt.reached + config.delay();
      if (rests_until > context.now) {
        ++progress.in_flight;
        decision.wake(rests_until);
      }
    } else if (attempt.exists) {
      ++progress.in_flight;
      ++progress.waiting;
    } else if (slot_is_dirty(context, slot)) {
      progress.dirty.push_back(&slot);
    }
  }
  std::stable_partition(progress.dirty.begin(), progress.dirty.end(),
                        [](const Slot* slot) { return !slot->is_running(); });
  return progress;
}

}  // namespace skep::control
