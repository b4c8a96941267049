#pragma once

// Errors that several parts of a manager answer with.

#include <string>

#include "skep/result.h"

namespace skep::control {

/// An answer with this code says that nothing was done and never will be. The others leave it open; of
/// kUnavailable some reasons say it too.
bool is_refusal(Code code);

/// kFailedPrecondition NOT_A_MANAGER: this node is in no swarm.
Error no_manager();
/// kFailedPrecondition NOT_A_MANAGER: this node is a worker.
Error only_a_worker();
/// kFailedPrecondition LOCKED: this manager waits for its unlock key.
Error locked();
/// kFailedPrecondition MANAGER_DOWN: this node is a manager whose role could not start. `why` in
/// words.
Error manager_down(const std::string& why);
/// kUnavailable NO_LEADER.
Error no_leader();
/// Why a node cannot be reached, without what the reader is told anyway: "refused" of "node 'x' at
/// host:2377 cannot be reached: refused".
std::string cause_of_unreachable(const Error& error);
/// kUnavailable MANAGER_STOPPED.
Error manager_stopped();

}  // namespace skep::control
