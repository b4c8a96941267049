#include "core/model/task_status.h"

#include "core/model/task_state.h"

namespace skep::model {

bool apply_status(v1::Task& task, const v1::TaskStatus& reported, WallTime now) {
  const v1::TaskStatus& known = task.status();
  if (!may_follow(known.state(), reported.state())) {
    return false;
  }
  if (known.SerializeAsString() == reported.SerializeAsString()) {
    return false;
  }
  if (reported.state() == v1::TASK_STATE_RUNNING && task.running_since() == 0) {
    task.set_running_since(now);
  }
  *task.mutable_status() = reported;
  return true;
}

}  // namespace skep::model
