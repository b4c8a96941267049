#pragma once

// Joins a stream being served here to the same one served elsewhere. Holds at most one window of
// chunks per direction: whoever reads slowly holds up the writer, not our memory. Loop thread only.

#include <memory>
#include <string>
#include <string_view>

#include "skep/rpc.h"

namespace skep::control {

/// Opens `method` at `target` of `caller` with `first`, and passes chunks, ends and cancellation
/// both ways until it ends. When the connection broke the caller is told to open it again
/// (LEADER_CHANGED).
void relay_stream(rpc::Caller& caller, const std::string& target, std::string_view method,
                  rpc::Body first, std::shared_ptr<rpc::ServerStream> stream);

}  // namespace skep::control
