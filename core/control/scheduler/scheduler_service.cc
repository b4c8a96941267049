#include "core/control/scheduler/scheduler_service.h"

#include "core/model/defaults.h"

namespace skep::control {

void SchedulerLoop::mark_all() {
  scheduler_.load(view());
}

void SchedulerLoop::on_commit(const store::Commit& commit) {
  for (const store::Event& event : commit.events) {
    scheduler_.on_event(event);
  }
  if (scheduler_.has_work()) {
    wake();
  }
}

Duration SchedulerLoop::debounce() const {
  return model::kSchedulerDebounce;
}

void SchedulerLoop::last_round_failed() {
  scheduler_.settle(view());
}

Decision SchedulerLoop::reconcile(WallTime now) {
  Decision decision;
  scheduler_.settle(view());  // A round that was stopped half-way leaves nothing counted.
  const Schedule schedule = scheduler_.schedule(now);
  const auto put = [&decision](pb::Task task) {
    store::Transaction unit;
    unit.put(std::move(task));
    decision.add(std::move(unit));
  };
  for (const Assignment& assignment : schedule.assignments) {
    put(assigned_task(assignment, now));
  }
  for (const Unplaced& unplaced : schedule.unplaced) {
    put(unplaced_task(unplaced, now));
  }
  decision.wake_at = schedule.wake_at;
  return decision;
}

}  // namespace skep::control
