#pragma once

// Forgets tasks nobody needs any more: those that shall be removed and have stopped, and the oldest
// dead tasks of a slot beyond the history limit. Never a task whose node may still run it: losing the
// record would orphan the container.

#include "core/control/orchestrator/decision.h"
#include "core/store/view.h"

namespace skep::control {

/// `limit`: tasks kept per slot, the living ones included, as Swarm counts; negative keeps all.
/// Slots that were given up share one history of that size per service. A restart policy that counts
/// attempts needs attempts + 1 tasks, so a slot keeps at least that many. The newest task of a slot
/// with no wanted task stays whatever the limit: it says whether the slot ended for good.
Decision reap_service(const store::View& view, std::string_view service_id, std::int64_t limit);

}  // namespace skep::control
