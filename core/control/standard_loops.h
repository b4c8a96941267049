#pragma once

// The loops of this folder that every manager runs while it leads, in one list.

#include <functional>
#include <memory>
#include <vector>

#include "core/control/control_loop.h"

namespace skep::control {

/// Makes one loop; Manager::add_loop takes it.
using MakeLoop = std::function<std::unique_ptr<ControlLoop>(const LoopContext&)>;

/// Orchestrators, port allocator, scheduler, task reaper, constraint enforcer.
std::vector<MakeLoop> standard_loops();

}  // namespace skep::control
