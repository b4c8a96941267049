#include "core/model/task_state.h"

#include <array>
#include <string>

namespace skep::model {

namespace {
struct StateName {
  TaskState state;
  std::string_view name;
};
constexpr std::array<StateName, 14> kNames = {{
    {v1::TASK_STATE_NEW, "new"},
    {v1::TASK_STATE_PENDING, "pending"},
    {v1::TASK_STATE_ASSIGNED, "assigned"},
    {v1::TASK_STATE_ACCEPTED, "accepted"},
    {v1::TASK_STATE_PREPARING, "preparing"},
    {v1::TASK_STATE_READY, "ready"},
    {v1::TASK_STATE_STARTING, "starting"},
    {v1::TASK_STATE_RUNNING, "running"},
    {v1::TASK_STATE_COMPLETE, "complete"},
    {v1::TASK_STATE_SHUTDOWN, "shutdown"},
    {v1::TASK_STATE_FAILED, "failed"},
    {v1::TASK_STATE_REJECTED, "rejected"},
    {v1::TASK_STATE_REMOVE, "remove"},
    {v1::TASK_STATE_ORPHANED, "orphaned"},
}};
}  // namespace

std::string_view task_state_name(TaskState state) {
  for (const StateName& entry : kNames) {
    if (entry.state == state) {
      return entry.name;
    }
  }
  return "unknown";
}

Result<TaskState> parse_task_state(int number) {
  for (const StateName& entry : kNames) {
    if (static_cast<int>(entry.state) == number) {
      return entry.state;
    }
  }
  return Error{Code::kInvalidArgument, "task state " + std::to_string(number) + " is unknown here",
               "UNKNOWN_TASK_STATE"};
}

Result<TaskState> parse_task_state(std::string_view name) {
  for (const StateName& entry : kNames) {
    if (entry.name == name) {
      return entry.state;
    }
  }
  return Error{Code::kInvalidArgument,
               "task state '" + std::string(name) +
                   "' is unknown; try running, shutdown, accepted or another state of "
                   "'service ps'",
               "UNKNOWN_TASK_STATE"};
}

bool is_terminal(TaskState state) {
  return state > v1::TASK_STATE_RUNNING;
}

bool is_failure(TaskState state) {
  return state == v1::TASK_STATE_FAILED || state == v1::TASK_STATE_REJECTED ||
         state == v1::TASK_STATE_ORPHANED;
}

bool occupies_node(const v1::Task& task) {
  return !task.node_id().empty() && task.status().state() >= v1::TASK_STATE_ASSIGNED &&
         !is_terminal(task.status().state());
}

bool is_alive(const v1::Task& task) {
  return task.status().state() <= v1::TASK_STATE_RUNNING;
}

bool is_wanted(const v1::Task& task) {
  return task.desired_state() <= v1::TASK_STATE_COMPLETE;
}

bool is_runnable(const v1::Task& task) {
  return is_wanted(task) && is_alive(task);
}

bool may_follow(TaskState from, TaskState to) {
  return to >= from;
}

std::string_view node_state_name(v1::NodeState state) {
  switch (static_cast<int>(state)) {
    case v1::NODE_STATE_DOWN: return "down";
    case v1::NODE_STATE_READY: return "ready";
    case v1::NODE_STATE_DISCONNECTED: return "disconnected";
    case v1::NODE_STATE_UNKNOWN:
    default: return "unknown";
  }
}

std::string_view availability_name(v1::Availability availability) {
  switch (static_cast<int>(availability)) {
    case v1::AVAILABILITY_ACTIVE: return "active";
    case v1::AVAILABILITY_PAUSE: return "pause";
    case v1::AVAILABILITY_DRAIN: return "drain";
    default: return "unknown";
  }
}

std::string_view update_state_name(v1::UpdateStatus::State state) {
  switch (static_cast<int>(state)) {
    case v1::UpdateStatus::NONE: return "";
    case v1::UpdateStatus::UPDATING: return "updating";
    case v1::UpdateStatus::PAUSED: return "paused";
    case v1::UpdateStatus::COMPLETED: return "completed";
    case v1::UpdateStatus::ROLLBACK_STARTED: return "rollback_started";
    case v1::UpdateStatus::ROLLBACK_PAUSED: return "rollback_paused";
    case v1::UpdateStatus::ROLLBACK_COMPLETED: return "rollback_completed";
    default: return "unknown";
  }
}

}  // namespace skep::model
