#include "core/control/scheduler/scheduler.h"

#include <chrono>

#include "core/control/scheduler/spread.h"
#include "core/model/task_state.h"
#include "skep/mutant.h"

namespace skep::control {

namespace {

/// A changed explanation of a whole group is written at most this often.
constexpr Duration kExplainPause = std::chrono::seconds(2);

bool is_pending(const pb::Task& task) {
  return task.status().state() == pb::TASK_STATE_PENDING && model::is_wanted(task);
}

bool failed_there(const pb::Task* before, const pb::Task& after) {
  const auto failed = [](pb::TaskState state) {
    return state == pb::TASK_STATE_FAILED || state == pb::TASK_STATE_REJECTED;
  };
  return !after.node_id().empty() && failed(after.status().state()) &&
         (before == nullptr || !failed(before->status().state()));
}

/// The least a scheduler must remember of a task to give back what it holds.
pb::Task holding_part(const pb::Task& task, const std::string& node_id) {
  pb::Task part;
  part.set_id(task.id());
  part.set_service_id(task.service_id());
  part.set_node_id(node_id);
  part.set_desired_state(task.desired_state());
  part.mutable_status()->set_state(pb::TASK_STATE_ASSIGNED);
  if (task.spec().resources().has_reservations()) {
    *part.mutable_spec()->mutable_resources()->mutable_reservations() =
        task.spec().resources().reservations();
  }
  *part.mutable_ports() = task.ports();
  return part;
}

}  // namespace

void Scheduler::load(const store::View& view) {
  nodes_ = {};
  groups_.clear();
  preassigned_.clear();
  assumed_.clear();
  for (const auto& [id, node] : view.all<pb::Node>()) {
    nodes_.put_node(node);
  }
  for (const auto& [id, task] : view.all<pb::Task>()) {
    put_task(nullptr, task);
  }
  has_work_ = true;
}

void Scheduler::room_changed() {
  for (auto& [key, group] : groups_) {
    group.tried = false;
  }
  has_work_ = has_work_ || !groups_.empty() || !preassigned_.empty();
}

void Scheduler::add_pending(const store::Ptr<pb::Task>& task) {
  has_work_ = true;
  if (!task->node_id().empty()) {
    preassigned_[task->id()] = task;
    return;
  }
  Group& group = groups_[GroupKey(task->service_id(), task->spec_version())];
  const auto [known, inserted] = group.tasks.insert_or_assign(TaskKey(task->slot(), task->id()), task);
  group.tried = group.tried && !inserted;
}

void Scheduler::drop_pending(const pb::Task& task) {
  preassigned_.erase(task.id());
  const auto group = groups_.find(GroupKey(task.service_id(), task.spec_version()));
  if (group != groups_.end()) {
    group->second.tasks.erase(TaskKey(task.slot(), task.id()));
    if (group->second.tasks.empty()) {
      groups_.erase(group);
    }
  }
}

void Scheduler::put_task(const store::Ptr<pb::Task>& before, const store::Ptr<pb::Task>& after) {
  const pb::Task& known = after != nullptr ? *after : *before;
  if (const auto assumed = assumed_.find(known.id()); assumed != assumed_.end()) {
    nodes_.release(assumed->second);
    assumed_.erase(assumed);
  }
  const bool held = before != nullptr && model::occupies_node(*before);
  if (held) {
    nodes_.release(*before);
  }
  if (after != nullptr) {
    nodes_.hold(*after);
    if (failed_there(before.get(), *after)) {
      nodes_.note_failure(*after, after->meta().updated_at());
    }
  }
  if (held && (after == nullptr || !model::occupies_node(*after) ||
               model::is_wanted(*before) != model::is_wanted(*after))) {
    room_changed();
  }
  if (after != nullptr && is_pending(*after)) {
    add_pending(after);
  } else if (before != nullptr && is_pending(*before)) {
    drop_pending(*before);
  }
}

void Scheduler::on_event(const store::Event& event) {
  if (event.table == store::Table::kTask) {
    put_task(std::static_pointer_cast<const pb::Task>(event.before),
             std::static_pointer_cast<const pb::Task>(event.after));
  } else if (event.table == store::Table::kNode) {
    if (event.after == nullptr) {
      nodes_.remove_node(event.id);
    } else {
      nodes_.put_node(std::static_pointer_cast<const pb::Node>(event.after));
    }
    room_changed();
  }
}

void Scheduler::assign(const store::Ptr<pb::Task>& task, const std::string& node_id,
                       Schedule& schedule) {
  const auto [assumed, inserted] = assumed_.emplace(task->id(), holding_part(*task, node_id));
  if (!SKEP_MUTANT(kSchedulerForgetsInFlight)) {
    nodes_.hold(assumed->second);
  }
  schedule.assignments.push_back({task, node_id});
}

void Scheduler::explain(const Requirements& wanted, Group& group, WallTime now,
                        Schedule& schedule) {
  Explanation explanation;
  for (const auto& [id, node] : nodes_.all()) {
    if (node.node != nullptr) {
      if (const auto refused = refusal(node, wanted)) {
        explanation.add(*refused);
      }
    }
  }
  const std::string text = explanation.text();
  const WallTime next = group.explained_at + kExplainPause.count();
  const bool may_change = text == group.explanation || group.explanation.empty() || now >= next;
  for (const auto& [key, task] : group.tasks) {
    if (task->status().error() != text && (may_change || task->status().error().empty())) {
      schedule.unplaced.push_back({task, text});
    }
  }
  if (!may_change) {
    group.tried = false;  // Come back for the new text.
    has_work_ = true;
    schedule.wake_at = schedule.wake_at ? std::min(*schedule.wake_at, next) : next;
  } else if (text != group.explanation) {
    group.explanation = text;
    group.explained_at = now;
  }
}

void Scheduler::place_group(const GroupKey& key, Group& group, WallTime now, Schedule& schedule) {
  const pb::Task& sample = *group.tasks.begin()->second;
  Requirements wanted = requirements_of(sample);
  wanted.group = key;
  Spread spread(wanted, sample.spec().placement(), now);
  for (auto& [id, node] : nodes_.all()) {
    if (suits(node, wanted)) {
      spread.add(node);
    }
  }
  auto task = group.tasks.begin();
  while (task != group.tasks.end()) {
    NodeInfo* node = spread.best();
    if (node == nullptr) {
      break;
    }
    assign(task->second, node->node->id(), schedule);
    spread.placed();
    task = group.tasks.erase(task);
  }
  group.tried = true;
  if (!group.tasks.empty()) {
    explain(wanted, group, now, schedule);
  }
}

void Scheduler::place_preassigned(Schedule& schedule) {
  for (auto it = preassigned_.begin(); it != preassigned_.end();) {
    const store::Ptr<pb::Task>& task = it->second;
    const NodeInfo* node = nodes_.find(task->node_id());
    const Requirements wanted = requirements_of(*task);
    const auto refused =
        node == nullptr ? Refusal{Filter::kReady} : refusal(*node, wanted);
    if (!refused) {
      assign(task, task->node_id(), schedule);
      it = preassigned_.erase(it);
      continue;
    }
    Explanation explanation;
    explanation.add(*refused);
    if (task->status().error() != explanation.text()) {
      schedule.unplaced.push_back({task, explanation.text()});
    }
    ++it;
  }
}

Schedule Scheduler::schedule(WallTime now) {
  Schedule schedule;
  has_work_ = false;
  place_preassigned(schedule);
  for (auto it = groups_.begin(); it != groups_.end();) {
    if (!it->second.tried) {
      place_group(it->first, it->second, now, schedule);
    }
    it = it->second.tasks.empty() ? groups_.erase(it) : std::next(it);
  }
  return schedule;
}

void Scheduler::settle(const store::View& view) {
  for (const auto& [id, assumed] : assumed_) {
    nodes_.release(assumed);
    const auto task = view.get<pb::Task>(id);
    if (task != nullptr && is_pending(*task)) {
      add_pending(task);
    }
  }
  if (!assumed_.empty()) {
    assumed_.clear();
    room_changed();
  }
}

std::size_t Scheduler::pending() const {
  std::size_t count = preassigned_.size();
  for (const auto& [key, group] : groups_) {
    count += group.tasks.size();
  }
  return count;
}

pb::Task assigned_task(const Assignment& assignment, WallTime now) {
  pb::Task task = *assignment.task;
  task.set_node_id(assignment.node_id);
  pb::TaskStatus& status = *task.mutable_status();
  status.set_state(pb::TASK_STATE_ASSIGNED);
  status.set_timestamp(now);
  status.set_message("scheduler assigned task to node");
  status.clear_error();
  return task;
}

pb::Task unplaced_task(const Unplaced& unplaced, WallTime now) {
  pb::Task task = *unplaced.task;
  pb::TaskStatus& status = *task.mutable_status();
  status.set_timestamp(now);
  status.set_message("pending task scheduling");
  status.set_error(unplaced.error);
  return task;
}

}  // namespace skep::control
