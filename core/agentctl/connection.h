#pragma once

// The real connection: the control socket of the agent that runs with some --root.

#include <functional>
#include <memory>
#include <string>

#include "core/agentctl/client.h"

namespace skep::ctl {

/// "ROOT/run/skep/control.sock"
std::string control_socket_path(const std::string& root);

/// kUnavailable: nobody listens there (with how to start an agent); kPermissionDenied: not for us.
Result<std::unique_ptr<Connection>> connect_to_agent(const std::string& root);

}  // namespace skep::ctl
