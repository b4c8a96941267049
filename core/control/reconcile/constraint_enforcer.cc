#include "core/control/reconcile/constraint_enforcer.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/control/orchestrator/slot.h"
#include "core/control/orchestrator/update.h"
#include "core/model/constraint.h"
#include "core/model/resources.h"
#include "core/model/task_state.h"

namespace skep::control {

namespace {

/// The constraints the task is held to: the service's present ones, unless an update is bringing
/// them to the tasks slot by slot.
std::string broken_constraint(const store::View& view, const pb::Task& task, const pb::Node& node) {
  const auto service = view.get<pb::Service>(task.service_id());
  const bool present = service != nullptr && !update_in_progress(*service);
  const auto& expressions = present ? service->spec().task().placement().constraints()
                                    : task.spec().placement().constraints();
  if (expressions.empty()) {
    return {};
  }
  const auto constraints = model::parse_constraints(expressions);
  const model::Constraint* broken =
      constraints ? model::first_mismatch(*constraints, node) : nullptr;
  return broken == nullptr ? std::string() : broken->text;
}

void evict(const pb::Task& task, std::string error, WallTime now, Decision& decision) {
  pb::Task changed = task;
  request_stop(changed, pb::TASK_STATE_SHUTDOWN, now);
  changed.mutable_status()->set_message("assigned node no longer meets constraints");
  changed.mutable_status()->set_error(std::move(error));
  store::Transaction unit;
  unit.put(std::move(changed));
  decision.add(std::move(unit));
}

}  // namespace

Decision enforce_constraints(const store::View& view, const pb::Node& node, WallTime now) {
  Decision decision;
  if (node.status().state() != pb::NODE_STATE_READY ||
      node.spec().availability() == pb::AVAILABILITY_DRAIN) {
    return decision;
  }
  std::vector<store::Ptr<pb::Task>> stays;
  for (const auto& [id, task] : view.tasks_of_node(node.id())) {
    if (!model::is_runnable(*task) || task->status().state() < pb::TASK_STATE_ASSIGNED) {
      continue;
    }
    if (std::string broken = broken_constraint(view, *task, node); !broken.empty()) {
      evict(*task, "constraint " + broken + " is no longer satisfied", now, decision);
    } else if (!model::reservations_of(task->spec()).empty()) {
      stays.push_back(task);
    }
  }
  // Oldest first: what came last goes when the node shrank.
  std::sort(stays.begin(), stays.end(), [](const auto& a, const auto& b) {
    return a->meta().created_at() != b->meta().created_at()
               ? a->meta().created_at() < b->meta().created_at()
               : a->id() < b->id();
  });
  model::Amounts left = model::capacity_of(node);
  for (const store::Ptr<pb::Task>& task : stays) {
    const model::Amounts reserved = model::reservations_of(task->spec());
    if (left.fits(reserved)) {
      left -= reserved;
    } else {
      evict(*task, "node no longer has the reserved resources", now, decision);
    }
  }
  return decision;
}

}  // namespace skep::control
