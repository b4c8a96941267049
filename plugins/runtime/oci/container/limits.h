#pragma once

// Resource limits: a service's wishes as the `resources` part of an OCI configuration, which the
// runtime writes to cgroup v1 or v2. Pure.

#include <boost/json/fwd.hpp>
#include <cstdint>

#include "skep/result.h"
#include "skep/runtime.pb.h"

namespace skep::oci {

struct MachineLimits {
  bool swap_accounting = true;  ///< memory.memsw.* or memory.swap.* exists
};

/// kInvalidArgument: below what a container can start with (6 MiB of memory), negative, swap below
/// memory. A CPU limit above the machine's CPUs is allowed and limits nothing.
Result<boost::json::object> cgroup_resources(const model::v1::ResourceRequirements& wanted,
                                             const MachineLimits& machine);

}  // namespace skep::oci
