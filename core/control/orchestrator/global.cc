#include "core/control/orchestrator/modes.h"
#include "core/control/orchestrator/restart.h"
#include "core/control/orchestrator/update.h"
#include "core/model/constraint.h"
#include "core/model/task_state.h"

namespace skep::control {

namespace {

void stop_all(const ServiceContext& context, Slot& slot) {
  for (Slot::Entry& entry : slot.entries()) {
    if (model::is_runnable(entry.task())) {
      request_stop(entry.edit(), pb::TASK_STATE_SHUTDOWN, context.now);
    }
  }
}

}  // namespace

Eligibility node_eligibility(const pb::Service& service, const pb::Node& node) {
  const auto constraints =
      model::parse_constraints(service.spec().task().placement().constraints());
  if (node_is_invalid(&node) ||
      (constraints && model::first_mismatch(*constraints, node) != nullptr)) {
    return Eligibility::kNo;
  }
  const bool open = node.status().state() == pb::NODE_STATE_READY &&
                    node.spec().availability() == pb::AVAILABILITY_ACTIVE;
  return open ? Eligibility::kYes : Eligibility::kKeep;
}

Decision reconcile_global(const ServiceContext& context) {
  Decision decision;
  Slots slots = collect_slots(context, SlotsBy::kNode);
  const auto keep_version = [&](const pb::Task& task) {
    return (update_in_progress(context.service) || update_paused(context.service)) &&
           !is_up_to_date(context, task);
  };
  for (const auto& [id, node] : context.view.all<pb::Node>()) {
    if (node_eligibility(context.service, *node) == Eligibility::kYes) {
      slots.try_emplace(SlotKey(0, id), Slot(0, id));
    }
  }
  Slots closed;  // Slots whose node may have nothing (new): updates do not touch them.
  for (auto slot = slots.begin(); slot != slots.end();) {
    const auto node = context.view.get<pb::Node>(slot->second.node_id());
    const Eligibility eligibility =
        node == nullptr ? Eligibility::kNo : node_eligibility(context.service, *node);
    if (eligibility == Eligibility::kYes) {
      repair_slot(context, slot->second, keep_version);
      converge_slot(context, slot->second);
      if (!slot_is_filled(context, slot->second)) {
        slot->second.create_task(context, 0, nullptr);
      }
      ++slot;
      continue;
    }
    if (eligibility == Eligibility::kNo) {
      stop_all(context, slot->second);
    }
    closed.insert(slots.extract(slot++));
  }
  auto service = update_slots(context, slots, decision);
  for (Slots* group : {&slots, &closed}) {
    for (auto& [key, slot] : *group) {
      slot.promote(context, decision);
      decision.add(slot.take_changes());
    }
  }
  if (service) {
    store::Transaction unit;
    unit.put(*std::move(service));
    decision.add(std::move(unit));
  }
  return decision;
}

}  // namespace skep::control
