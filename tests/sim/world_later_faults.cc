// Classes of faults that came after seeds had been kept: which of them a seed has, and when, is drawn apart, so that
// seeds without are the runs they were. See world.h.

#include <algorithm>

#include "world.h"

namespace skep::sim {

namespace {
/// A number under which none of the seeds in regression_seeds.txt of that time has any of these classes.
constexpr std::uint64_t kDrawnApart = 0x24aULL << 32U;
constexpr Duration kReasonHolds = 1min;
constexpr std::uint64_t kWorldsWithThem = 50;  // percent
constexpr const char* kFlips = "bit flipped";
const char* const kClasses[] = {kFlips, "clock of a node jumped", "disk slow"};
}  // namespace

void World::schedule_later_faults() {
  later_rng_ = testing::SeededRandom(seed_ ^ kDrawnApart);
  if (!later_rng_.chance(kWorldsWithThem)) {
    return;
  }
  for (const char* name : kClasses) {
    if (later_rng_.chance(50)) {
      later_enabled_.insert(name);
    }
  }
  if (later_enabled_.empty()) {
    later_enabled_.insert(kClasses[later_rng_.below(std::size(kClasses))]);
  }
  if (later_enabled_.contains(kFlips) && shape_.managers < 3) {
    later_enabled_.erase(kFlips);
  }
  if (later_enabled_.contains(kFlips)) {
    enabled_.erase("members");  // as in worlds in which logs are lost
  }
  if (!later_enabled_.empty()) {
    one_later_fault();
  }
}

void World::one_later_fault() {
  if (healed_) {
    return;
  }
  static const std::map<std::string, void (*)(World&)> kFaults{
      {kFlips, [](World& w) { w.flip_bit(); }},
      {"clock of a node jumped", [](World& w) { w.jump_node_clock(w.any_node()); }},
      {"disk slow", [](World& w) { w.slow_disk_down(); }},
  };
  auto name = later_enabled_.begin();
  std::advance(name, static_cast<std::ptrdiff_t>(later_rng_.below(later_enabled_.size())));
  kFaults.at(*name)(*this);
  const auto most = static_cast<std::uint64_t>((2 * fault_pause_max_).count());
  loop_.run_after(50ms + Duration(later_rng_.below(most)), [this] { one_later_fault(); });
}

/// Nothing that a manager decides may come from it, and nothing on the node may wait for it.
void World::jump_node_clock(SimNode& node) {
  fire("clock of a node jumped");
  const Duration by = rng_.chance(50) ? between(1min, 2h) : between(2h, 24h * 9);
  node.process.clock.jump_by(rng_.chance(50) ? by : -by);
}

/// As a disk that dies, or that others use too. The manager's core goes on meanwhile, its log waits at every sync.
void World::slow_disk_down() {
  Manager* manager = victim();
  if (manager == nullptr || slow_disks_.contains(manager->id)) {
    return;
  }
  fire("disk slow");
  slow_disks_.insert(manager->id);
  manager->slow_disk_down(rng_.chance(50) ? between(50ms, 500ms) : between(500ms, 5s));
  loop_.run_after(between(2s, 30s), [this, id = manager->id] {
    managers_.at(id)->slow_disk_down(0s);
    slow_disks_.erase(id);
  });
}

/// Whether a leader's slow disk is the only reason why it asks another to lead.
bool World::hands_over_for_its_disk(raft::MemberId member) {
  return std::any_of(managers_.begin(), managers_.end(), [&](const auto& entry) {
    const auto other = other_reason_.find(entry.first);
    return entry.second->member_id == member && slow_disks_.contains(entry.first) &&
           (other == other_reason_.end() || loop_.now() - other->second > kReasonHolds);
  });
}

}  // namespace skep::sim
