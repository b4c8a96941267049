#pragma once

// What the verbs of `agentctl node` share.

#include <string>

#include "core/agentctl/client.h"
#include "core/agentctl/command.h"
#include "skep/model.pb.h"

namespace skep::ctl {

/// By id, a unique beginning of one, hostname or "self". kNotFound says where to look.
Result<model::v1::Node> get_node(Client& agent, const std::string& reference);
/// update, promote, demote, rm, stop.
void add_node_changes(Command& node);

}  // namespace skep::ctl
