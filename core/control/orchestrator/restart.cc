#include "core/control/orchestrator/restart.h"

#include <algorithm>

#include "core/model/defaults.h"
#include "core/model/task_state.h"

namespace skep::control {

using model::is_alive;
using model::is_runnable;
using model::is_terminal;
using model::is_wanted;

namespace {

using Restart = pb::RestartPolicy;

/// It came to its end by itself, and not because somebody asked or its node was lost.
bool ended_by_itself(const pb::Task& task) {
  const pb::TaskState state = task.status().state();
  return state == pb::TASK_STATE_COMPLETE || state == pb::TASK_STATE_FAILED ||
         state == pb::TASK_STATE_REJECTED;
}

bool lost_its_node(const ServiceContext& context, const pb::Task& task) {
  if (task.status().state() == pb::TASK_STATE_ORPHANED) {
    return true;
  }
  return !task.node_id().empty() &&
         node_is_invalid(context.view.get<pb::Node>(task.node_id()).get());
}

std::uint64_t failures_within(const Slot& slot, const pb::Task& newest, Duration window) {
  const WallTime from = newest.meta().updated_at() - window.count();
  return static_cast<std::uint64_t>(
      std::count_if(slot.entries().begin(), slot.entries().end(), [&](const Slot::Entry& entry) {
        const pb::Task& task = entry.task();
        return task.spec_version() == newest.spec_version() && ended_by_itself(task) &&
               (window.count() == 0 || task.meta().updated_at() >= from);
      }));
}

}  // namespace

bool failed_quickly(const pb::Task& task) {
  return model::is_failure(task.status().state()) && ended_by_itself(task) &&
         (task.running_since() == 0 || task.meta().updated_at() - task.running_since() <
                                           Duration(model::kCrashLoopRunTime).count());
}

bool should_restart(const ServiceContext& context, const Slot& slot) {
  const pb::Task* newest = slot.newest();
  if (newest == nullptr) {
    return true;
  }
  const Restart& policy = context.service.spec().task().restart();
  if (policy.condition() == Restart::NONE) {
    return false;
  }
  if (newest->status().state() == pb::TASK_STATE_COMPLETE &&
      (policy.condition() == Restart::ON_FAILURE || context.is_job())) {
    return false;
  }
  if (policy.attempts_max() == 0 || !ended_by_itself(*newest)) {
    return true;
  }
  // The first failure is not yet a restart, hence <=.
  return failures_within(slot, *newest, Duration(policy.window())) <= policy.attempts_max();
}

Duration restart_wait(const ServiceContext& context, const pb::Task& ended) {
  if (lost_its_node(context, ended)) {
    return Duration{0};
  }
  const Duration base = model::restart_delay(context.service.spec().task().restart());
  const std::uint64_t failures = failed_quickly(ended) ? ended.quick_failures() + 1U : 0U;
  if (failures <= model::kCrashLoopThreshold) {
    return base;
  }
  Duration wait = std::max(base, Duration(std::chrono::seconds(1)));
  for (std::uint64_t i = model::kCrashLoopThreshold;
       i < failures && wait < model::kCrashLoopDelayMax; ++i) {
    wait *= 2;
  }
  return std::max(base, std::min(wait, Duration(model::kCrashLoopDelayMax)));
}

void repair_slot(const ServiceContext& context, Slot& slot,
                 const std::function<bool(const pb::Task&)>& keep_version) {
  std::optional<pb::Task> ended;  // A copy: entries move when a task is created.
  for (Slot::Entry& entry : slot.entries()) {
    const pb::Task& task = entry.task();
    if (!is_wanted(task)) {
      continue;
    }
    const bool stays = is_alive(task) && (task.node_id().empty() || !lost_its_node(context, task));
    if (stays || (context.is_job() && task.status().state() == pb::TASK_STATE_COMPLETE)) {
      continue;
    }
    request_stop(entry.edit(), pb::TASK_STATE_SHUTDOWN, context.now);
    if (!ended) {
      ended = entry.task();
    }
  }
  if (!ended) {
    return;
  }
  // While a start-first update replaces a running task, the failed newcomer is tried again beside it.
  const pb::Task* remains = slot.runnable();
  const bool retry_newcomer =
      remains != nullptr && ended->spec_version() == context.service.spec_version() &&
      remains->spec_version() != context.service.spec_version();
  if ((remains != nullptr && !retry_newcomer) || !should_restart(context, slot)) {
    return;
  }
  const Duration wait = restart_wait(context, *ended);
  const bool keep = keep_version(*ended);
  pb::Task& successor = slot.create_task(
      context, wait.count() > 0 ? context.now + wait.count() : 0, keep ? &*ended : nullptr);
  if (successor.spec_version() == ended->spec_version()) {
    const bool resets = is_terminal(ended->status().state()) && !failed_quickly(*ended) &&
                        !lost_its_node(context, *ended);
    successor.set_quick_failures(resets ? 0 : ended->quick_failures() + (failed_quickly(*ended) ? 1U : 0U));
  }
}

bool slot_is_filled(const ServiceContext& context, const Slot& slot) {
  const bool wanted = std::any_of(slot.entries().begin(), slot.entries().end(),
                                  [](const Slot::Entry& e) { return is_wanted(e.task()); });
  return wanted || (!slot.entries().empty() && !should_restart(context, slot));
}

}  // namespace skep::control
