#pragma once

// The updater: replaces tasks of an old version slot by slot, and always comes to an end: completed,
// rolled back, or paused with a reason. Everything it knows is in the store (update_status of the
// service, versions and states of the tasks), so a new leader carries on where the old one stopped.
//
// A slot is *dirty* when its task is not of the present version. It was *attempted* when a task of
// the present version reached running or ended. It is *in flight* from its replacement until it was
// attempted and the delay passed.

#include <optional>

#include "core/control/orchestrator/slot.h"

namespace skep::control {

/// Whether the task is what the service asks for now: same version, or an equal spec, on a node its
/// constraints still allow.
bool is_up_to_date(const ServiceContext& context, const pb::Task& task);

/// An update or a rollback is being carried out.
bool update_in_progress(const pb::Service& service);
/// An update or a rollback was paused after failures: slots keep the versions they have.
bool update_paused(const pb::Service& service);

/// Looks at all kept slots, replaces as many as may be replaced now, stops the predecessors of
/// start-first newcomers that run. Changes of the service itself (status, rollback) come back.
std::optional<pb::Service> update_slots(const ServiceContext& context, Slots& slots,
                                        Decision& decision);

/// Stops superfluous tasks of one slot: a newcomer that runs ends its predecessors, and never more
/// than one running and one coming task are wanted. Also while an update is paused.
void converge_slot(const ServiceContext& context, Slot& slot);

/// The service with its previous spec, as a rollback begins. kFailedPrecondition without one.
Result<pb::Service> begin_rollback(const pb::Service& service, std::uint64_t spec_version,
                                   WallTime now, std::string message);

}  // namespace skep::control
