#pragma once

// The restart supervisor: what happens to a slot whose task ended or lost its node. All of it is read
// from the store (the dead tasks of the slot are the history), so a new leader decides the same.

#include <functional>

#include "core/control/orchestrator/slot.h"

namespace skep::control {

/// Whether the policy asks for a successor of the slot's newest task, which ended or shall end. Jobs
/// never restart what completed. Attempts within the window are counted backwards from the death of
/// the newest task, so the answer does not change as time passes.
bool should_restart(const ServiceContext& context, const Slot& slot);

/// How long a successor of `ended` waits: nothing when its node was lost or drained, else the
/// policy's delay, doubled for every quick failure in a row after the fifth (at most 5 minutes).
Duration restart_wait(const ServiceContext& context, const pb::Task& ended);

/// It ended by itself and badly, soon after it was started.
bool failed_quickly(const pb::Task& task);

/// Repairs the slot: wanted tasks that ended, and tasks whose node is invalid, are told to stop;
/// where the policy says so a successor takes the place. `keep_version(task)`: the successor keeps
/// the version of the task it replaces (an update has not come to this slot, or is paused).
void repair_slot(const ServiceContext& context, Slot& slot,
                 const std::function<bool(const pb::Task&)>& keep_version);

/// The slot counts towards the wanted number: a task is wanted in it, or it ended for good. False:
/// it needs a new task.
bool slot_is_filled(const ServiceContext& context, const Slot& slot);

}  // namespace skep::control
