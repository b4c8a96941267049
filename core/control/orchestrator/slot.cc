#include "core/control/orchestrator/slot.h"

#include <algorithm>

#include "core/control/ports/ports.h"
#include "core/model/defaults.h"
#include "core/model/ids.h"
#include "core/model/task_state.h"
#include "skep/mutant.h"

namespace skep::control {

using model::is_alive;
using model::is_runnable;
using model::is_terminal;
using model::is_wanted;

void request_stop(pb::Task& task, pb::TaskState desired, WallTime now) {
  if (task.desired_state() < desired) {
    task.set_desired_state(desired);
  }
  if (task.status().state() < pb::TASK_STATE_ASSIGNED) {
    pb::TaskStatus& status = *task.mutable_status();
    status.set_state(pb::TASK_STATE_SHUTDOWN);
    status.set_timestamp(now);
    status.set_message("stopped before it was placed");
    status.clear_error();
  }
}

bool node_is_invalid(const pb::Node* node) {
  return node == nullptr || node->status().state() == pb::NODE_STATE_DOWN ||
         node->spec().availability() == pb::AVAILABILITY_DRAIN;
}

void Slot::add(store::Ptr<pb::Task> task) {
  if (!task->slot_removed()) {
    entries_.push_back({std::move(task), std::nullopt});
  } else if (is_alive(*task)) {
    leaving_.push_back(std::move(task));
  }
}

void Slot::sort() {
  std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& left, const Entry& right) {
    const pb::Task& a = left.task();
    const pb::Task& b = right.task();
    if (is_wanted(a) != is_wanted(b)) {
      return is_wanted(a);  // Clocks of two leaders differ: what is wanted is never history.
    }
    return a.meta().created_at() != b.meta().created_at()
               ? a.meta().created_at() > b.meta().created_at()
               : a.meta().version() > b.meta().version();
  });
}

const pb::Task* Slot::newest() const {
  return entries_.empty() ? nullptr : &entries_.front().task();
}

const pb::Task* Slot::runnable() const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [](const Entry& entry) { return is_runnable(entry.task()); });
  return found == entries_.end() ? nullptr : &found->task();
}

std::size_t Slot::runnable_count() const {
  return static_cast<std::size_t>(
      std::count_if(entries_.begin(), entries_.end(),
                    [](const Entry& entry) { return is_runnable(entry.task()); }));
}

bool Slot::is_running() const {
  return std::any_of(entries_.begin(), entries_.end(), [](const Entry& entry) {
    return is_runnable(entry.task()) && entry.task().status().state() == pb::TASK_STATE_RUNNING;
  });
}

pb::Task& Slot::create_task(const ServiceContext& context, WallTime start_not_before,
                            const pb::Task* spec_of) {
  const pb::Service& service = context.service;
  pb::Task task;
  task.set_id(model::new_id(context.random));
  task.mutable_meta()->set_created_at(context.now);
  task.set_service_id(service.id());
  task.set_service_name(service.spec().name());
  task.set_slot(number_);
  task.set_node_id(node_id_);
  *task.mutable_spec() = spec_of != nullptr ? spec_of->spec() : service.spec().task();
  task.set_spec_version(spec_of != nullptr ? spec_of->spec_version() : service.spec_version());
  *task.mutable_service_labels() = service.spec().labels();
  task.set_desired_state(pb::TASK_STATE_READY);
  task.set_start_not_before(start_not_before);
  if (context.is_job()) {
    task.set_job_iteration(service.spec_version());
  }
  pb::TaskStatus& status = *task.mutable_status();
  status.set_timestamp(context.now);
  status.set_state(pb::TASK_STATE_NEW);
  status.set_message("created");
  prepare_task(context.view, service, task, context.now);
  entries_.insert(entries_.begin(), Entry{nullptr, std::move(task)});
  return *entries_.front().edited;
}

void Slot::give_up(WallTime now) {
  std::erase_if(entries_, [](const Entry& entry) { return entry.created(); });
  for (Entry& entry : entries_) {
    pb::Task& task = entry.edit();
    task.set_slot_removed(true);
    request_stop(task, pb::TASK_STATE_SHUTDOWN, now);
  }
}

bool Slot::must_wait_for(const ServiceContext& context, const pb::Task& leaving,
                         const pb::Task& waiting, Decision& decision) const {
  if (is_wanted(leaving) || is_terminal(leaving.status().state()) || SKEP_MUTANT(kSuccessorDoesNotWait)) {
    return false;
  }
  const auto node = context.view.get<pb::Node>(leaving.node_id());
  if (node == nullptr || node->status().state() == pb::NODE_STATE_DOWN) {
    return false;  // Nobody can say when it stops; the node stops it when it returns.
  }
  const Duration grace = model::stop_grace(leaving.spec().container()) + model::kStopGrace;
  const WallTime limit =
      context.surely_since(waiting.meta().created_at()) +
      std::max(Duration(model::kOldTaskWait), grace).count();
  if (limit <= context.now) {
    return false;
  }
  decision.wake(limit);
  return true;
}

void Slot::promote(const ServiceContext& context, Decision& decision) {
  for (Entry& entry : entries_) {
    const pb::Task& task = entry.task();
    if (!is_runnable(task) || task.desired_state() >= context.target_state()) {
      continue;
    }
    const WallTime created = task.meta().created_at();
    const WallTime start_at = std::min(
        task.start_not_before(), context.surely_since(created) + task.start_not_before() - created);
    if (start_at > context.now) {
      decision.wake(start_at);
      continue;
    }
    const auto blocks = [&](const pb::Task& other) {
      return must_wait_for(context, other, task, decision);
    };
    const bool blocked =
        std::any_of(entries_.begin(), entries_.end(),
                    [&](const Entry& other) { return blocks(other.task()); }) ||
        std::any_of(leaving_.begin(), leaving_.end(),
                    [&](const store::Ptr<pb::Task>& other) { return blocks(*other); });
    if (!blocked) {
      entry.edit().set_desired_state(context.target_state());
    }
  }
}

store::Transaction Slot::take_changes() {
  store::Transaction changes;
  for (Entry& entry : entries_) {
    if (entry.edited) {
      changes.put(std::move(*entry.edited));
      entry.edited.reset();
    }
  }
  return changes;
}

Slots collect_slots(const ServiceContext& context, SlotsBy by) {
  Slots slots;
  for (const auto& [id, task] : context.view.tasks_of_service(context.service.id())) {
    if (task->desired_state() >= pb::TASK_STATE_REMOVE) {
      continue;
    }
    SlotKey key = by == SlotsBy::kNumber ? SlotKey(task->slot(), std::string())
                                         : SlotKey(0, task->node_id());
    auto found = slots.find(key);
    if (found == slots.end()) {
      Slot slot(key.first, key.second);
      found = slots.emplace(std::move(key), std::move(slot)).first;
    }
    found->second.add(task);
  }
  for (auto& [key, slot] : slots) {
    slot.sort();
  }
  return slots;
}

}  // namespace skep::control
