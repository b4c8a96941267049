#pragma once

// Task states. A task only moves forward; desired state is written by managers, observed state by
// nodes. The numbers are those of skep.model.v1.TaskState; wire values we do not know are refused at
// the edge by parse_task_state() and trusted afterwards.

#include <string_view>

#include "skep/model.pb.h"
#include "skep/result.h"

namespace skep::model {

using TaskState = v1::TaskState;

/// Lower-case word as printed by people's tools: "running". Unknown numbers give "unknown".
std::string_view task_state_name(TaskState state);
/// kInvalidArgument for a number this build does not know.
Result<TaskState> parse_task_state(int number);
/// From the printed word, for filters. kInvalidArgument otherwise.
Result<TaskState> parse_task_state(std::string_view name);

/// The task ended: complete, shutdown, failed, rejected, remove or orphaned.
bool is_terminal(TaskState state);
/// It ended without success: failed, rejected or orphaned.
bool is_failure(TaskState state);
/// The scheduler gave it to a node and it has not ended: it holds resources there.
bool occupies_node(const v1::Task& task);
/// Observed at or before running, that is the task may still do its work.
bool is_alive(const v1::Task& task);
/// Managers want it to run, now or after a delay (desired at or before running; complete for jobs).
bool is_wanted(const v1::Task& task);
/// is_wanted() and is_alive(): it counts towards the replicas of its service.
bool is_runnable(const v1::Task& task);
/// Observed states move forward or stay.
bool may_follow(TaskState from, TaskState to);

std::string_view node_state_name(v1::NodeState state);
std::string_view availability_name(v1::Availability availability);
std::string_view update_state_name(v1::UpdateStatus::State state);

}  // namespace skep::model
