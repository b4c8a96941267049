#pragma once

// How a reported status becomes part of a task: only forward, and with the manager's own note of when
// the task began to run (a node's clock may be wrong).

#include "skep/model.pb.h"

namespace skep::model {

/// Merges what a node reported. False, and nothing changed, when the report is older than what is
/// known (a lower state) or says nothing new.
bool apply_status(v1::Task& task, const v1::TaskStatus& reported);
/// To be called before the status of a task read from the store is replaced: remembers since when it
/// ran, which is the time of the commit that brought the running state.
void note_running(v1::Task& task);
/// Manager time at which the task began to run; 0 when it never did.
std::int64_t running_since(const v1::Task& task);

}  // namespace skep::model
