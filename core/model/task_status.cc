#include "core/model/task_status.h"

#include "core/model/task_state.h"

namespace skep::model {

void note_running(v1::Task& task) {
  task.set_running_since(running_since(task));
}

std::int64_t running_since(const v1::Task& task) {
  if (task.running_since() != 0 || task.status().state() != v1::TASK_STATE_RUNNING) {
    return task.running_since();
  }
  return task.meta().updated_at();
}

bool apply_status(v1::Task& task, const v1::TaskStatus& reported) {
  const v1::TaskStatus& known = task.status();
  if (!may_follow(known.state(), reported.state())) {
    return false;
  }
  if (known.SerializeAsString() == reported.SerializeAsString()) {
    return false;
  }
  note_running(task);
  *task.mutable_status() = reported;
  return true;
}

}  // namespace skep::model
