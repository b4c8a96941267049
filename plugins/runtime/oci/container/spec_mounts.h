#pragma once

// The `mounts` part of an OCI configuration: what every container sees, then the service's own.

#include <boost/json/fwd.hpp>

#include "plugins/runtime/oci/container/spec.h"

namespace skep::oci {

/// In the order in which they are made: /proc, /dev, ..., early_mounts, tmpfs and binds sorted by
/// depth of their target, so that /data is there before /data/cache. kInvalidArgument: a target
/// that is not absolute or is "/", two mounts on one target, or an unknown propagation.
Result<boost::json::array> build_mounts(const SpecInput& input);

}  // namespace skep::oci
