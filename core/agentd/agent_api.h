#pragma once

// agent/1: what this agent answers about itself, with or without a swarm.

#include "core/agentd/swarm.h"
#include "skep/rpc.h"

namespace skep::agentd {

/// Registers agent/1 in `table`. Everything passed outlives the table. `end_agent` begins the orderly end of
/// this process.
void register_agent_api(rpc::MethodTable& table, Env& env, rpc::Caller& caller, Swarm& swarm,
                        host::PluginHost& plugins, const Paths& paths, const Config& config,
                        const std::string& installation_id, std::function<void()> end_agent);

}  // namespace skep::agentd
