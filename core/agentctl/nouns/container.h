#pragma once

// Verbs of `container` that need more than a table: exec and its terminal.

#include <string>
#include <vector>

#include "core/agentctl/client.h"
#include "skep/runtime.pb.h"

namespace skep::ctl {

class Command;
struct Context;

void add_container_exec(Command& parent);

/// By id, name or unambiguous id prefix, over every runtime driver of this node. kNotFound,
/// kInvalidArgument (several match).
Result<runtime::v1::ContainerInfo> find_container(Client& agent, const std::string& reference);
/// "runtime/oci"
std::string runtime_target(const runtime::v1::ContainerInfo& container);

}  // namespace skep::ctl
