#include "core/control/reconcile/task_reaper.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "core/model/task_state.h"

namespace skep::control {

namespace {

using TaskPtr = store::Ptr<pb::Task>;

/// Nothing of the task can be alive anywhere.
bool is_gone(const store::View& view, const pb::Task& task) {
  return model::is_terminal(task.status().state()) ||
         task.status().state() < pb::TASK_STATE_ASSIGNED ||
         view.get<pb::Node>(task.node_id()) == nullptr;
}

void remove(const pb::Task& task, Decision& decision) {
  store::Transaction unit;
  unit.remove(task);
  decision.add(std::move(unit));
}

/// Removes the oldest dead tasks until at most `keep` tasks are left of `tasks`; the newest
/// `protect` stay.
void trim(std::vector<TaskPtr> tasks, std::size_t keep, std::size_t protect, Decision& decision) {
  std::sort(tasks.begin(), tasks.end(), [](const TaskPtr& a, const TaskPtr& b) {
    return std::pair(a->meta().created_at(), a->meta().version()) >
           std::pair(b->meta().created_at(), b->meta().version());
  });
  std::size_t left = tasks.size();
  for (std::size_t i = tasks.size(); i > protect && left > keep; --i) {
    const pb::Task& task = *tasks[i - 1];
    if (model::is_terminal(task.status().state()) && !model::is_wanted(task)) {
      remove(task, decision);
      --left;
    }
  }
}

}  // namespace

Decision reap_service(const store::View& view, std::string_view service_id, std::int64_t limit) {
  Decision decision;
  const auto service = view.get<pb::Service>(service_id);
  std::map<std::string, std::vector<TaskPtr>> slots;
  std::vector<TaskPtr> given_up;
  for (const auto& [id, task] : view.tasks_of_service(service_id)) {
    if (task->desired_state() >= pb::TASK_STATE_REMOVE) {
      if (is_gone(view, *task)) {
        remove(*task, decision);
      }
    } else if (task->slot_removed()) {
      given_up.push_back(task);
    } else {
      slots[store::slot_key(*task)].push_back(task);
    }
  }
  if (limit < 0) {
    return decision;
  }
  std::size_t keep = static_cast<std::size_t>(limit);
  if (service != nullptr && service->spec().task().restart().attempts_max() > 0) {
    keep = std::max(keep,
                    static_cast<std::size_t>(service->spec().task().restart().attempts_max()) + 1);
  }
  for (auto& [key, tasks] : slots) {
    if (tasks.size() > keep) {
      const bool wanted = std::any_of(tasks.begin(), tasks.end(),
                                      [](const TaskPtr& task) { return model::is_wanted(*task); });
      trim(std::move(tasks), keep, wanted ? 0 : 1, decision);
    }
  }
  trim(std::move(given_up), static_cast<std::size_t>(limit), 0, decision);
  return decision;
}

}  // namespace skep::control
