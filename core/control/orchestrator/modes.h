#pragma once

// The orchestrators: one decider per service mode. Each compares what the service asks for with the
// tasks there are and returns what to change; calling one again without a change of the store (and
// before its wake-up) decides nothing.

#include "core/control/orchestrator/slot.h"

namespace skep::control {

/// Tasks that one look at a service creates. The others come when these are stored, which makes it look again.
inline constexpr std::uint64_t kNewTasksAtOnce = 500;

/// Keeps `replicas` slots filled, restarts, updates; scales down slots that do not run first, then
/// those on the nodes that hold most tasks of the service.
Decision reconcile_replicated(const ServiceContext& context);
/// Keeps one task on every eligible node. Paused nodes keep what they have and get nothing new.
Decision reconcile_global(const ServiceContext& context);
/// Runs `total_completions` tasks to completion, at most `max_concurrent` at once.
Decision reconcile_replicated_job(const ServiceContext& context);
/// Runs one task to completion on every eligible node.
Decision reconcile_global_job(const ServiceContext& context);

/// The one of the four that fits the service's mode.
Decision reconcile_service(const ServiceContext& context);
/// The service is gone: its tasks shall stop and be forgotten.
Decision reconcile_removed_service(const store::View& view, std::string_view service_id, WallTime now);

/// What a global service thinks of a node.
enum class Eligibility { kNo /* stop what runs */, kKeep /* nothing new */, kYes };
Eligibility node_eligibility(const pb::Service& service, const pb::Node& node);

}  // namespace skep::control
