#include "world.h"

#include <algorithm>

namespace skep::sim {

namespace {
constexpr Duration kHealTime = 12min;  // crash-loop back-off alone may take 5 minutes
constexpr Duration kGoalHolds = 30s;   // reached means that it stays
constexpr Duration kNarrowGoalHolds = 12s;
constexpr Duration kStep = 250ms;
constexpr Duration kLookEvery = 1s;     // at the whole cluster while nothing is committed
constexpr Duration kUndisturbed = 60s;  // what happened longer ago is no excuse
constexpr std::size_t kPendingMax = 50'000;
}  // namespace

World::World(std::uint64_t seed, Trace::Keep keep)
    : seed_(seed),
      rng_(seed),
      bus_(loop_),
      trace_(keep),
      invariants_([this](const pb::Task& task) { return container_runs(task); }),
      raft_invariants_([this](const std::string& what) { invariants_.violate(what); }),
      network_(loop_, bus_, rng_),
      clients_(loop_, rng_, [this] { return any_user(); }),
      manager_world_{loop_, bus_, [this](const std::string& from, const std::string& to) {
                       return network_.connects(from, to);
                     }} {
  invariants_.was_disturbed = [this](const std::string& node) {
    if (!node.starts_with('n')) {
      return true;  // managers have no node side here
    }
    const auto known = disturbed_.find(node);
    const TimePoint last =
        std::max(all_disturbed_, known == disturbed_.end() ? TimePoint{} : known->second);
    return loop_.now() - last < kUndisturbed;
  };
  network_.on_broken = [this](const std::string& a, const std::string& b) {
    for (const auto& [here, there] : {std::pair(a, b), std::pair(b, a)}) {
      const auto found = managers_.find(here);
      if (found != managers_.end() && found->second->runs()) {
        found->second->process.loop.post([manager = found->second.get(), there = there] {
          manager->peers->on_gone(there);
        });
      }
    }
  };
  bus_.set_tap([this](const std::string& from, const std::string& to, std::string_view header,
                      std::string_view body) { trace_.frame(loop_.now(), from, to, header, body); });
}

World::~World() {
  nodes_.clear();
  managers_.clear();
  loop_.clear();
}

bool World::must_stop() {
  for (const auto& [id, manager] : managers_) {
    if (!manager->fatal.empty() && !sick_disks_.contains(id)) {
      invariants_.violate("manager " + id + " gave up: " + manager->fatal);
    }
  }
  if (loop_.pending() > kPendingMax) {
    invariants_.violate("a queue grows without bound: " + std::to_string(loop_.pending()) +
                        " events wait");
  }
  return invariants_.violated();
}

Outcome World::run() {
  draw_shape();
  if (!set_up()) {
    invariants_.violate("the cluster did not come up");
    return outcome();
  }
  clients_.start(shape_.clients);
  schedule_faults();
  const TimePoint end = loop_.now() + fault_time_;
  while (loop_.now() < end && !must_stop()) {
    loop_.advance(kStep);
  }
  if (!must_stop()) {
    run_healed();
  }
  if (!must_stop()) {
    check_history();
  }
  return outcome();
}

void World::run_healed() {
  heal();
  TimePoint since = loop_.now();
  TimePoint looked_at{};
  std::size_t commits = 0;
  const TimePoint limit = loop_.now() + kHealTime;
  while (loop_.now() < limit) {
    loop_.advance(kStep);
    if (must_stop()) {
      return;
    }
    repair_services();
    // What happens on nodes without a commit stays for longer than the time between two looks.
    if (invariants_.commits() == commits && loop_.now() - looked_at < kLookEvery) {
      continue;
    }
    commits = invariants_.commits();
    looked_at = loop_.now();
    if (!unmet_goal().empty()) {
      since = loop_.now();
    }
    if (loop_.now() - since > (shape_.wide ? kGoalHolds : kNarrowGoalHolds)) {
      return;
    }
  }
  invariants_.violate("goal not reached in time: " + unmet_goal());
}

void World::check_history() {
  const auto& history = clients_.history();
  outcome_.operations = static_cast<std::size_t>(
      std::count_if(history.begin(), history.end(), [](const lin::Operation& operation) {
        return operation.returned != lin::kNever;
      }));
  const auto verdict = lin::check(history);
  if (!verdict.linearizable) {
    invariants_.violate("the history of " + verdict.key + " is " +
                        (verdict.gave_up ? "too hard to check" : "not linearizable") + ":\n" +
                        verdict.why);
  }
}

Outcome World::outcome() {
  for (const auto& node : nodes_) {
    for (const testing::FaultPlan* plan :
         {&node->runtime.faults, &node->network.faults, &node->volume.faults}) {
      if (plan->fired() > 0) {
        outcome_.faults["driver call failed"] += plan->fired();
      }
    }
  }
  if (network_.lost() > 0) {
    outcome_.faults["frame lost"] = network_.lost();
  }
  outcome_.seed = seed_;
  outcome_.wide = shape_.wide;
  outcome_.managers = shape_.managers;
  outcome_.violation = invariants_.violation();
  outcome_.nodes = nodes_.size();
  outcome_.tasks = invariants_.tasks_seen();
  outcome_.commits = invariants_.commits();
  outcome_.elections = raft_invariants_.elections();
  outcome_.frames = bus_.frames();
  outcome_.trace_hash = trace_.hash();
  outcome_.virtual_minutes =
      std::chrono::duration<double, std::ratio<60>>(loop_.now() - TimePoint{}).count();
  return outcome_;
}

}  // namespace skep::sim
