#pragma once

// Parts of validate.h that concern what a task runs: container, mounts, resources, restart policy,
// placement. Internal to core/model.

#include <string>

#include <google/protobuf/message_lite.h>

#include "skep/model.pb.h"
#include "skep/result.h"

namespace skep::model {

Status validate_container(const v1::ContainerSpec& spec, bool needs_image);
Status validate_mounts(const v1::ContainerSpec& spec);
Status validate_resources(const v1::ResourceRequirements& resources);
Status validate_restart(const v1::RestartPolicy& policy);
Status validate_placement(const v1::Placement& placement);

/// Bytes with map entries in one order, so that equal messages have equal bytes.
std::string deterministic_bytes(const google::protobuf::MessageLite& message);

}  // namespace skep::model
