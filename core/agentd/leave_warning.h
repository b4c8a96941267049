#pragma once

// What a person is told who wants to take a manager out of its swarm without --force. Pure.

#include <cstddef>
#include <optional>

#include "skep/result.h"

namespace skep::agentd {

/// `total` members of the log, of which `up` can be reached (this one is among both); nullopt: nobody could be asked.
/// kFailedPrecondition LAST_MANAGER or NODE_IS_MANAGER.
Error leave_warning(std::size_t total, std::optional<std::size_t> up);

}  // namespace skep::agentd
