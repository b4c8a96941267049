#pragma once

// Evicts tasks from nodes that no longer fit them: labels, role or platform changed so that a
// constraint fails, or the node shrank below what is reserved on it. Evicted tasks are told to stop;
// the orchestrator fills their slots elsewhere. Only on nodes that are active and ready; drained and
// lost nodes are the orchestrator's business, changed services the updater's.

#include "core/control/orchestrator/decision.h"
#include "core/store/view.h"

namespace skep::control {

Decision enforce_constraints(const store::View& view, const pb::Node& node, WallTime now);

}  // namespace skep::control
