#pragma once

// Asks the machine. Binds and frees ports, writes and removes one small file in the state directory
// (or its nearest existing parent); changes nothing else.

#include <string>

#include "core/agentctl/doctor/doctor.h"
#include "skep/env.h"

namespace skep::ctl {

struct Context;

MachineFacts probe_machine(Context& context);

}  // namespace skep::ctl
