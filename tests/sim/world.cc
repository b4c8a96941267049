#include "world.h"

namespace skep::sim {

namespace {
constexpr Duration kFaultTime = 10min;
constexpr Duration kHealTime = 12min;  // crash-loop back-off alone may take 5 minutes
constexpr Duration kGoalHolds = 30s;   // reached means that it stays
constexpr Duration kStep = 250ms;
}  // namespace

World::World(std::uint64_t seed)
    : seed_(seed), rng_(seed), bus_(loop_),
      invariants_([this](const pb::Task& task) { return container_runs(task); }) {}

World::~World() {
  nodes_.clear();
  manager_.reset();
  bus_.detach("m1/user");
  loop_.clear();
}

Outcome World::run() {
  outcome_.seed = seed_;
  const auto stop = [this] {
    if (manager_ != nullptr && !manager_->fatal().empty()) {
      invariants_.violate("the manager gave up: " + manager_->fatal());
    }
    return invariants_.violated();
  };
  if (!set_up()) {
    invariants_.violate("the cluster did not come up");
  } else {
    schedule_faults();
    loop_.run_until(stop, kFaultTime);
    if (!stop()) {
      heal();
      TimePoint since{};
      bool reached = false;
      const TimePoint limit = loop_.now() + kHealTime;
      while (!stop() && !reached && loop_.now() < limit) {
        loop_.advance(kStep);
        repair_services();
        if (!unmet_goal().empty()) {
          since = loop_.now();
        }
        reached = loop_.now() - since > kGoalHolds;
      }
      if (!stop() && !reached) {
        invariants_.violate("goal not reached in time: " + unmet_goal());
      }
    }
  }
  outcome_.violation = invariants_.violation();
  outcome_.nodes = nodes_.size();
  outcome_.tasks = invariants_.tasks_seen();
  outcome_.commits = invariants_.commits();
  outcome_.frames = bus_.frames();
  outcome_.virtual_minutes =
      std::chrono::duration<double, std::ratio<60>>(loop_.now() - TimePoint{}).count();
  return outcome_;
}

}  // namespace skep::sim
