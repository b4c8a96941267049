#include "core/control/reconcile/task_reaper_service.h"

#include "core/control/reconcile/task_reaper.h"
#include "core/model/defaults.h"

namespace skep::control {

void TaskReaperLoop::mark_all() {
  for (const auto& [id, task] : view().all<pb::Task>()) {
    services_.mark(task->service_id());
  }
}

void TaskReaperLoop::on_commit(const store::Commit& commit) {
  for (const store::Event& event : commit.events) {
    if (const auto* task = event.after_as<pb::Task>()) {
      // A new task in a slot may push an old one out; a running one never does.
      if (event.action == store::Action::kCreated ||
          task->desired_state() > pb::TASK_STATE_COMPLETE) {
        services_.mark(task->service_id());
      }
    } else if (event.table == store::Table::kCluster ||
               (event.table == store::Table::kNode && event.action == store::Action::kRemoved)) {
      mark_all();
    }
  }
  if (!services_.empty()) {
    wake();
  }
}

Decision TaskReaperLoop::reconcile(WallTime now) {
  Decision decision;
  const auto cluster = view().cluster();
  const std::int64_t limit =
      model::task_history_limit(cluster == nullptr ? nullptr : &cluster->spec());
  for (const std::string& id : services_.begin_round(now)) {
    decision.merge(reap_service(view(), id, limit));
  }
  return decision;
}

}  // namespace skep::control
