#include "world.h"

namespace skep::sim {

namespace {
constexpr Duration kFaultTime = 10min;
constexpr Duration kHealTime = 12min;  // crash-loop back-off alone may take 5 minutes
constexpr Duration kGoalHolds = 30s;   // reached means that it stays
constexpr Duration kStep = 250ms;
constexpr Duration kLookEvery = 1s;    // at the whole cluster while nothing is committed
// Below these a seed does not count.
constexpr std::size_t kNodesLeast = 20;
constexpr std::size_t kTasksLeast = 200;
constexpr double kMinutesLeast = 10;
constexpr std::size_t kFaultsLeast = 20;
}  // namespace

std::size_t Outcome::faults_fired() const {
  std::size_t sum = 0;
  for (const auto& [name, count] : faults) {
    sum += count;
  }
  return sum;
}

std::string Outcome::why_it_does_not_count() const {
  if (nodes < kNodesLeast) {
    return "fewer than " + std::to_string(kNodesLeast) + " nodes";
  }
  if (tasks < kTasksLeast) {
    return "fewer than " + std::to_string(kTasksLeast) + " tasks";
  }
  if (virtual_minutes < kMinutesLeast) {
    return "less than 10 virtual minutes";
  }
  return faults_fired() < kFaultsLeast ? "fewer than " + std::to_string(kFaultsLeast) + " faults fired"
                                       : std::string();
}

World::World(std::uint64_t seed, Trace::Keep keep)
    : seed_(seed), rng_(seed), bus_(loop_), trace_(keep),
      invariants_([this](const pb::Task& task) { return container_runs(task); }) {
  bus_.set_tap([this](const std::string& from, const std::string& to, std::string_view header,
                      std::string_view body) { trace_.frame(loop_.now(), from, to, header, body); });
}

World::~World() {
  nodes_.clear();
  manager_.reset();
  bus_.detach("m1/user");
  loop_.clear();
}

bool World::must_stop() {
  if (manager_ != nullptr && !manager_->fatal().empty()) {
    invariants_.violate("the manager gave up: " + manager_->fatal());
  }
  return invariants_.violated();
}

Outcome World::run() {
  if (!set_up()) {
    invariants_.violate("the cluster did not come up");
    return outcome();
  }
  schedule_faults();
  loop_.run_until([this] { return must_stop(); }, kFaultTime);
  if (!must_stop()) {
    run_healed();
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
    if (loop_.now() - since > kGoalHolds) {
      return;
    }
  }
  invariants_.violate("goal not reached in time: " + unmet_goal());
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
  outcome_.seed = seed_;
  outcome_.violation = invariants_.violation();
  outcome_.nodes = nodes_.size();
  outcome_.tasks = invariants_.tasks_seen();
  outcome_.commits = invariants_.commits();
  outcome_.frames = bus_.frames();
  outcome_.trace_hash = trace_.hash();
  outcome_.virtual_minutes =
      std::chrono::duration<double, std::ratio<60>>(loop_.now() - TimePoint{}).count();
  return outcome_;
}

}  // namespace skep::sim
