#pragma once

// How a reported status becomes part of a task: only forward, and with the manager's own note of when
// the task began to run (a node's clock may be wrong).

#include "skep/env.h"
#include "skep/model.pb.h"

namespace skep::model {

/// Merges what a node reported at manager time `now`. False, and nothing changed, when the report is
/// older than what is known (a lower state) or says nothing new.
bool apply_status(v1::Task& task, const v1::TaskStatus& reported, WallTime now);

}  // namespace skep::model
