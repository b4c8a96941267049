#pragma once

// What works while no agent runs: agentctl then starts the program agentd with options of its own,
// which does it and ends. Main thread; blocks.

#include <string>
#include <vector>

#include "core/agentctl/context.h"

namespace skep::ctl {

/// Prints what agentd says and answers its exit code. `input` goes to its stdin.
/// kFailedPrecondition: there is no such program beside us nor in PATH; kTimeout after half an
/// hour.
Result<int> run_agentd(Context& context, std::vector<std::string> words, std::string input = {});
/// From the terminal, without echo, or the first line of stdin.
std::string ask_unlock_key(Context& context);

}  // namespace skep::ctl
