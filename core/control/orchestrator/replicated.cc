#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "core/control/orchestrator/modes.h"
#include "core/control/orchestrator/restart.h"
#include "core/control/orchestrator/update.h"
#include "core/model/task_state.h"

namespace skep::control {

namespace {

/// Slots in the order in which a scale-down gives them up.
std::vector<Slot*> removal_order(const std::vector<Slot*>& filled) {
  struct Candidate {
    bool runs;
    std::size_t nth_on_node;  // of the running slots on this node, counted by slot number
    std::uint64_t number;
    Slot* slot;
  };
  std::vector<Candidate> candidates;
  std::map<std::string, std::size_t> on_node;
  for (Slot* slot : filled) {  // By slot number.
    const pb::Task* task = slot->runnable();
    const bool runs = slot->is_running();
    const std::size_t nth = runs && task != nullptr ? ++on_node[task->node_id()] : 0;
    candidates.push_back({runs, nth, slot->number(), slot});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(b.runs, a.nth_on_node, a.number) > std::tie(a.runs, b.nth_on_node, b.number);
  });
  std::vector<Slot*> order;
  order.reserve(candidates.size());
  for (const Candidate& candidate : candidates) {
    order.push_back(candidate.slot);
  }
  return order;
}

void scale_up(const ServiceContext& context, Slots& slots, std::uint64_t count) {
  std::uint64_t number = 0;
  while (count > 0) {
    ++number;
    auto [found, inserted] =
        slots.try_emplace(SlotKey(number, std::string()), Slot(number, std::string()));
    if (inserted || !slot_is_filled(context, found->second)) {
      found->second.create_task(context, 0, nullptr);
      --count;
    }
  }
}

}  // namespace

Decision reconcile_replicated(const ServiceContext& context) {
  Decision decision;
  Slots slots = collect_slots(context, SlotsBy::kNumber);
  const auto keep_version = [&](const pb::Task& task) {
    return (update_in_progress(context.service) || update_paused(context.service)) &&
           !is_up_to_date(context, task);
  };
  std::vector<Slot*> filled;
  for (auto& [key, slot] : slots) {
    repair_slot(context, slot, keep_version);
    converge_slot(context, slot);
    if (slot_is_filled(context, slot)) {
      filled.push_back(&slot);
    }
  }
  const std::uint64_t wanted = context.service.spec().replicated().replicas();
  Slots given_up;
  if (filled.size() > wanted) {
    const std::vector<Slot*> order = removal_order(filled);
    for (std::size_t i = 0; i < filled.size() - wanted; ++i) {
      order[i]->give_up(context.now);
      given_up.insert(slots.extract(SlotKey(order[i]->number(), std::string())));
    }
  } else {
    scale_up(context, slots, std::min(wanted - filled.size(), kNewTasksAtOnce));
  }
  auto service = update_slots(context, slots, decision);
  for (Slots* group : {&slots, &given_up}) {
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
