#include "core/control/orchestrator/modes.h"

namespace skep::control {

Decision reconcile_service(const ServiceContext& context) {
  switch (context.service.spec().mode_case()) {
    case pb::ServiceSpec::kReplicated: return reconcile_replicated(context);
    case pb::ServiceSpec::kGlobal: return reconcile_global(context);
    case pb::ServiceSpec::kReplicatedJob: return reconcile_replicated_job(context);
    case pb::ServiceSpec::kGlobalJob: return reconcile_global_job(context);
    case pb::ServiceSpec::MODE_NOT_SET: break;  // A mode of a newer version: leave it alone.
  }
  return {};
}

Decision reconcile_removed_service(const store::View& view, std::string_view service_id,
                                   WallTime now) {
  Decision decision;
  for (const auto& [id, task] : view.tasks_of_service(service_id)) {
    if (task->desired_state() < pb::TASK_STATE_REMOVE) {
      pb::Task removed = *task;
      request_stop(removed, pb::TASK_STATE_REMOVE, now);
      store::Transaction unit;
      unit.put(std::move(removed));
      decision.add(std::move(unit));
    }
  }
  return decision;
}

}  // namespace skep::control
