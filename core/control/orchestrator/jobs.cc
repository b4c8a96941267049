#include "core/control/orchestrator/modes.h"
#include "core/control/orchestrator/restart.h"
#include "core/model/task_state.h"

namespace skep::control {

namespace {

/// Tasks of earlier runs of the job stop and are forgotten; what remains is this run's.
Slots collect_run(const ServiceContext& context, SlotsBy by, Decision& decision) {
  Slots slots;
  for (const auto& [id, task] : context.view.tasks_of_service(context.service.id())) {
    if (task->desired_state() >= pb::TASK_STATE_REMOVE) {
      continue;
    }
    if (task->job_iteration() != context.service.spec_version()) {
      pb::Task old = *task;
      request_stop(old, pb::TASK_STATE_REMOVE, context.now);
      store::Transaction unit;
      unit.put(std::move(old));
      decision.add(std::move(unit));
      continue;
    }
    const std::uint64_t number = by == SlotsBy::kNumber ? task->slot() : 0;
    const std::string node = by == SlotsBy::kNumber ? std::string() : task->node_id();
    slots.try_emplace(SlotKey(number, node), Slot(number, node)).first->second.add(task);
  }
  for (auto& [key, slot] : slots) {
    slot.sort();
  }
  return slots;
}

bool keep_no_version(const pb::Task&) {
  return false;
}

bool is_busy(const Slot& slot) {
  return slot.runnable() != nullptr;
}

void finish(const ServiceContext& context, Slots& slots, Decision& decision) {
  for (auto& [key, slot] : slots) {
    slot.promote(context, decision);
    decision.add(slot.take_changes());
  }
}

}  // namespace

Decision reconcile_replicated_job(const ServiceContext& context) {
  Decision decision;
  Slots slots = collect_run(context, SlotsBy::kNumber, decision);
  const pb::ReplicatedJobMode& job = context.service.spec().replicated_job();
  const std::uint64_t total = job.total_completions();
  const std::uint64_t concurrent =
      job.max_concurrent() == 0 ? total : std::min(job.max_concurrent(), total);
  std::uint64_t busy = 0;
  for (auto& [key, slot] : slots) {
    repair_slot(context, slot, keep_no_version);
    if (!slot_is_filled(context, slot)) {
      slot.create_task(context, 0, nullptr);
    }
    busy += is_busy(slot) ? 1 : 0;
  }
  std::uint64_t created = 0;
  for (std::uint64_t number = 1; number <= total && busy < concurrent && created < kNewTasksAtOnce; ++number) {
    auto [found, inserted] =
        slots.try_emplace(SlotKey(number, std::string()), Slot(number, std::string()));
    if (inserted) {
      found->second.create_task(context, 0, nullptr);
      ++busy;
      ++created;
    }
  }
  finish(context, slots, decision);
  return decision;
}

Decision reconcile_global_job(const ServiceContext& context) {
  Decision decision;
  Slots slots = collect_run(context, SlotsBy::kNode, decision);
  for (const auto& [id, node] : context.view.all<pb::Node>()) {
    if (node_eligibility(context.service, *node) == Eligibility::kYes) {
      slots.try_emplace(SlotKey(0, id), Slot(0, id));
    }
  }
  for (auto& [key, slot] : slots) {
    const auto node = context.view.get<pb::Node>(slot.node_id());
    const Eligibility eligibility =
        node == nullptr ? Eligibility::kNo : node_eligibility(context.service, *node);
    if (eligibility == Eligibility::kYes) {
      repair_slot(context, slot, keep_no_version);
      if (!slot_is_filled(context, slot)) {
        slot.create_task(context, 0, nullptr);
      }
    } else if (eligibility == Eligibility::kNo) {
      for (Slot::Entry& entry : slot.entries()) {
        if (model::is_runnable(entry.task())) {
          request_stop(entry.edit(), pb::TASK_STATE_SHUTDOWN, context.now);
        }
      }
    }
  }
  finish(context, slots, decision);
  return decision;
}

}  // namespace skep::control
