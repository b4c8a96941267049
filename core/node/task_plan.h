#pragma once

// From a task and its image to what must be made for it: volumes, binds, endpoints, effective health
// check and host name. Pure; runs once per task, when the image is known.

#include "core/node/node.h"
#include "core/node/templates.h"
#include "skep/node.pb.h"
#include "skep/result.h"
#include "skep/runtime.pb.h"

namespace skep::node {

/// Interval and friends with Docker's defaults filled in; no test: no health check.
model::v1::HealthCheck effective_health_check(const model::v1::HealthCheck& asked,
                                              const model::v1::HealthCheck& of_image);

/// Completes `record` and expands the templates of its spec. `image` is nullptr for runtimes without
/// images. kInvalidArgument: the task must be rejected. An error leaves the record unplanned.
Status plan_task(v1::TaskRecord& record, const runtime::v1::Image* image, const NodeConfig& config,
                 const NodeIdentity& node);

/// Host-mode ports of the task; empty when it shares the node's namespace.
std::vector<model::v1::PublishedPort> host_ports(const v1::TaskRecord& record);

}  // namespace skep::node
