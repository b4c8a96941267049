#pragma once

// Answers plugin/1/trace: every frame on the bus as a stream, for `agentctl bus trace`.

#include "core/bus/bus.h"

namespace skep::bus {

/// Registers the method in bus.table(). A client that reads slower than the bus talks misses frames:
/// at most 1,024 wait, and a line with direction "missed" says how many were not shown.
void serve_trace(Bus& bus, Loop& loop, Clock& clock);

}  // namespace skep::bus
