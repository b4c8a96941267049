#pragma once

// The leader calls a node that wants to be a manager at the address it gave, before the node counts: a
// voter that nobody reaches is a vote that is missing. Loop thread only.

#include <functional>
#include <string>

#include "core/bus/peers.h"
#include "skep/result.h"

namespace skep::control {

/// Success when that node answers there, whatever it answers; kFailedPrecondition ADDRESS_UNREACHABLE
/// with the cause and what to do, at the latest after 8 s. `done` is called once, from the loop, unless
/// `peers` is gone.
void dial_back(bus::Peers& peers, const std::string& node_id, const std::string& address,
               std::function<void(Status)> done);

}  // namespace skep::control
