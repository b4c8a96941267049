#include "core/control/standard_loops.h"

#include "core/control/ca/root_rotation_service.h"
#include "core/control/orchestrator/orchestrator_service.h"
#include "core/control/ports/ports_service.h"
#include "core/control/reconcile/constraint_enforcer_service.h"
#include "core/control/reconcile/task_reaper_service.h"
#include "core/control/scheduler/scheduler_service.h"

namespace skep::control {

namespace {
template <class Loop>
std::unique_ptr<ControlLoop> make(const LoopContext& context) {
  return std::make_unique<Loop>(context);
}
}  // namespace

std::vector<MakeLoop> standard_loops() {
  return {make<OrchestratorLoop>,       make<PortsLoop>,
          make<SchedulerLoop>,          make<TaskReaperLoop>,
          make<ConstraintEnforcerLoop>, make<RootRotationLoop>};
}

}  // namespace skep::control
