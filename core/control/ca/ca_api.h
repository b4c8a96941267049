#pragma once

// Answers ca/1 on a manager: hands out the root, makes nodes of joiners, renews certificates, tells and
// rotates join tokens. The leading manager decides; another one passes joiners and token questions on to
// it, once. Loop thread only.

#include "core/bus/peers.h"
#include "core/control/manager.h"
#include "skep/env.h"
#include "skep/rpc.h"

namespace skep::control {

/// Once per process; `manager` is asked for every request. `env` and `peers` outlive `table`.
void register_ca_methods(rpc::MethodTable& table, Env& env, bus::Peers& peers,
                         Manager::Access manager);

}  // namespace skep::control
