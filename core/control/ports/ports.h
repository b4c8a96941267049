#pragma once

// Published ports of services, and what a new task gets before it can be placed. Pure functions of
// the store: what is in use is what the services there say, so nothing leaks across failovers.

#include "core/control/orchestrator/decision.h"
#include "core/store/view.h"

namespace skep::control {

/// For the control API: whether every port `spec` publishes through the routing mesh is free.
/// kAlreadyExists names the service that has it. `service_id`: of the service itself on an update.
Status check_published_ports(const store::View& view, const pb::ServiceSpec& spec,
                             std::string_view service_id);

/// The service's endpoint answers its present spec.
bool endpoint_is_allocated(const pb::Service& service);

/// The endpoint for the present spec: ports without a number get one from 30000-32767, kept from the
/// endpoint before where there was one. kAlreadyExists: another service has a port;
/// kResourceExhausted: no number is free.
Result<pb::Endpoint> allocate_endpoint(const store::View& view, const pb::Service& service);

/// Gives a new task its ports and networks and makes it pending; leaves it new when its service is
/// not allocated yet.
void prepare_task(const store::View& view, const pb::Service& service, pb::Task& task, WallTime now);

/// The allocator's decision about one service and its new tasks.
Decision reconcile_ports(const store::View& view, const pb::Service& service, WallTime now);

}  // namespace skep::control
