#include "world.h"

#include <algorithm>

namespace skep::sim {

namespace {
constexpr Duration kHealTime = 12min;  // crash-loop back-off alone may take 5 minutes
constexpr Duration kGoalHolds = 30s;   // reached means that it stays
constexpr Duration kNarrowGoalHolds = 12s;
constexpr Duration kStep = 250ms;
constexpr Duration kLookEvery = 1s;     // at the whole cluster while nothing is committed
constexpr Duration kToldWithin = 20s;  // it looks for another manager after 10 s at most
constexpr Duration kUndisturbed = 60s;  // what happened longer ago is no excuse
constexpr std::string_view kPluginName = "/raft";
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
      watcher_(loop_, seed, [this] { return users(); }, [this](const std::string& what) { invariants_.violate(what); }),
      manager_world_{loop_, bus_, [this](const std::string& from, const std::string& to) {
                       return network_.connects(from, to);
                     }} {
  invariants_.was_disturbed = [this](const std::string& node) {
    if (!node.starts_with('n')) {
      return true;  // managers have no node side here
    }
    const auto is_off = [&](const auto& one) { return one->id() == node && !one->agent_runs(); };
    if (std::any_of(nodes_.begin(), nodes_.end(), is_off)) {
      return true;
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
  network_.held_back = [this](const std::string& from) {
    if (slow_disks_.empty() || !from.ends_with(kPluginName)) {
      return Duration{0};
    }
    const auto found = managers_.find(from.substr(0, from.size() - kPluginName.size()));
    return found == managers_.end() ? Duration{0} : found->second->raft_loop.ahead();
  };
  bus_.set_tap([this](const std::string& from, const std::string& to, std::string_view header,
                      std::string_view body) {
    trace_.frame(loop_.now(), from, to, header, body);
    if (const auto message = raft_message(header, body)) {
      raft_invariants_.look_at(*message);
      outcome_.note(*message);
      if (message->type == raft::MessageType::kTimeoutNow && hands_over_for_its_disk(message->from)) {
        ++outcome_.reached["slow disk handed over"];
      }
    }
  });
}

World::~World() {
  healed_ = true;  // what is answered from now on begins nothing
  nodes_.clear();
  for (const auto& [id, manager] : managers_) {
    if (manager->runs()) {
      manager->kill();
    }
    if (certified_ != nullptr) {
      certified_->ended(id);  // also where no manager runs
    }
  }
  managers_.clear();
  certified_.reset();
  loop_.clear();
}

bool World::must_stop() {
  for (const auto& [id, manager] : managers_) {
    if (!manager->fatal.empty() && !sick_disks_.contains(id) && !is_told_as_lost(*manager, manager->fatal)) {
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
  watcher_.start();
  if (certified_ != nullptr) {
    certified_->start_operator();
  }
  schedule_faults();
  run_with_faults();
  if (!must_stop()) {
    run_healed();
  }
  if (!must_stop()) {
    check_history();
  }
  return outcome();
}

/// For its time, and on while the seed would not count, but at most three times as long.
void World::run_with_faults() {
  const TimePoint end = loop_.now() + fault_time_;
  const TimePoint latest = end + 2 * fault_time_;
  const auto counts_once_healed = [this] {
    Outcome so_far = outcome();
    so_far.virtual_minutes += std::chrono::duration<double, std::ratio<60>>(goal_holds()).count();
    return so_far.why_it_does_not_count().empty();
  };
  while (!must_stop() && (loop_.now() < end || (loop_.now() < latest && !counts_once_healed()))) {
    loop_.advance(kStep);
  }
}

Duration World::goal_holds() const { return shape_.wide ? kGoalHolds : kNarrowGoalHolds; }

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
    if (loop_.now() - since > goal_holds()) {
      return watcher_.check_told(kToldWithin);
    }
  }
  invariants_.violate("goal not reached in time: " + unmet_goal());
}

void World::check_history() {
  const auto& history = clients_.history();
  const auto verdict = lin::check(history);
  if (!verdict.linearizable) {
    invariants_.violate("the history of " + verdict.key + " is " +
                        (verdict.gave_up ? "too hard to check" : "not linearizable") + ":\n" +
                        verdict.why);
  }
}

Outcome World::outcome() {
  Outcome out = outcome_;
  for (const auto& node : nodes_) {
    for (const testing::FaultPlan* plan :
         {&node->runtime.faults, &node->network.faults, &node->volume.faults}) {
      if (plan->fired() > 0) {
        out.faults["driver call failed"] += plan->fired();
      }
    }
  }
  out.seed = seed_;
  out.wide = shape_.wide;
  out.sealed = manager_world_.sealer != nullptr;
  out.managers = shape_.managers;
  out.violation = invariants_.violation();
  out.nodes = nodes_.size();
  out.tasks = invariants_.tasks_seen();
  out.commits = invariants_.commits();
  out.elections = raft_invariants_.elections();
  out.operations = clients_.answered();
  out.told = watcher_.told();
  if (watcher_.resumed() > 0) {
    out.reached["watch resumed"] = watcher_.resumed();
  }
  if (certified_ != nullptr) {
    out.certified = true;
    out.reached["root rotated"] = certified_->rotations();
    out.reached["dead token refused"] = certified_->tokens_refused();
  }
  out.frames = bus_.frames();
  out.frames_lost = network_.lost();
  out.trace_hash = trace_.hash();
  out.virtual_minutes =
      std::chrono::duration<double, std::ratio<60>>(loop_.now() - TimePoint{}).count();
  return out;
}

}  // namespace skep::sim
