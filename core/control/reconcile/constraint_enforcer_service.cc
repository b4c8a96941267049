#include "core/control/reconcile/constraint_enforcer_service.h"

#include <utility>

#include "core/control/reconcile/constraint_enforcer.h"

namespace skep::control {

void ConstraintEnforcerLoop::mark_all() {
  for (const auto& [id, node] : view().all<pb::Node>()) {
    nodes_.insert(id);
  }
}

void ConstraintEnforcerLoop::on_commit(const store::Commit& commit) {
  for (const store::Event& event : commit.events) {
    if (event.table == store::Table::kNode && event.action != store::Action::kRemoved) {
      nodes_.insert(event.id);
    }
  }
  if (!nodes_.empty()) {
    wake();
  }
}

Decision ConstraintEnforcerLoop::reconcile(WallTime now) {
  Decision decision;
  round_ = std::exchange(nodes_, {});
  for (const std::string& id : round_) {
    if (const auto node = view().get<pb::Node>(id)) {
      decision.merge(enforce_constraints(view(), *node, now));
    }
  }
  return decision;
}

}  // namespace skep::control
