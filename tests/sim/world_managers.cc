// What happens to the managers' machines and processes. See world.h.

#include <algorithm>

#include "world.h"

namespace skep::sim {

namespace {
constexpr Duration kBackSoon = 4s;
constexpr Duration kBackLate = 30s;
constexpr Duration kLooksAgain = 100ms;
}  // namespace

World::Manager* World::any_manager(bool running) {
  std::vector<Manager*> found;
  for (const auto& [id, manager] : managers_) {
    if (manager->runs() == running && !manager->removed) {
      found.push_back(manager.get());
    }
  }
  return found.empty() ? nullptr : found[rng_.below(found.size())];
}

World::Manager* World::leader() const {
  Manager* newest = nullptr;
  for (const auto& [id, manager] : managers_) {
    if (manager->leads() && (newest == nullptr || manager->manager->consensus().term() >
                                                      newest->manager->consensus().term())) {
      newest = manager.get();
    }
  }
  return newest;
}

World::Manager* World::victim() {
  std::size_t all = 0;
  std::size_t running = 0;
  for (const auto& [id, manager] : managers_) {
    all += manager->removed ? 0 : 1;
    running += manager->runs() && !manager->process.loop.paused() && !is_hurt(*manager) ? 1 : 0;
  }
  // A cluster that never has a quorum shows little.
  if (2 * (running - std::min<std::size_t>(running, 1)) <= all && all > 2 && !rng_.chance(25)) {
    return nullptr;
  }
  Manager* lead = leader();
  return lead != nullptr && rng_.chance(50) ? lead : any_manager(/*running=*/true);
}

rpc::Caller* World::any_user() {
  Manager* manager = any_manager(/*running=*/true);
  return manager == nullptr ? nullptr : manager->user;
}

std::vector<rpc::Caller*> World::users() const {
  std::vector<rpc::Caller*> found;
  for (const auto& [id, manager] : managers_) {
    if (manager->runs() && !manager->removed) {
      found.push_back(manager->user);
    }
  }
  return found;
}

/// Its connections closed: others on this network get to know at once, unless they are cut off.
void World::tell_gone(const std::string& gone) {
  for (const auto& [id, manager] : managers_) {
    if (id != gone && manager->runs() && network_.connects(id, gone)) {
      manager->process.loop.post([manager = manager.get(), gone] { manager->peers->on_gone(gone); });
    }
  }
}

void World::stop_manager(Manager& manager, bool power) {
  trace_.note(loop_.now(), power ? "power off" : "killed", manager.member_id);
  raft_invariants_.restarted(manager.member_id);
  power ? manager.lose_power() : manager.kill();
  // Without power nobody says that the connections are closed; sometimes a switch does.
  if (!power || rng_.chance(50)) {
    tell_gone(manager.id);
  }
}

void World::start_later(Manager& manager, Duration after) {
  loop_.run_after(after, [this, id = manager.id] {
    Manager& same = *managers_.at(id);
    if (!same.runs() && !same.removed && !joining_.contains(id)) {
      same.process.clock.set_right();
      same.start();
    }
  });
}

void World::stop_some_manager(bool power) {
  Manager* manager = victim();
  if (manager == nullptr) {
    return;
  }
  fire(power ? "manager power loss" : "manager killed");
  stop_manager(*manager, power);
  start_later(*manager, between(0s, rng_.chance(70) ? kBackSoon : kBackLate));
}

void World::pause_manager() {
  Manager* manager = victim();
  if (manager == nullptr || manager->process.loop.paused()) {
    return;
  }
  fire("manager paused");
  disturb_all();  // nodes that talk to it notice after three heartbeats only
  manager->process.loop.pause();
  loop_.run_after(between(100ms, rng_.chance(70) ? 5s : 25s), [this, id = manager->id] {
    disturb_all();
    managers_.at(id)->process.loop.resume();
  });
}

void World::jump_clock() {
  Manager* manager = any_manager(/*running=*/true);
  if (manager == nullptr) {
    return;
  }
  fire("clock jump");
  const Duration by = rng_.chance(50) ? between(1s, 2min) : between(1h, 24h * 366);
  manager->process.clock.jump_by(rng_.chance(50) ? by : -by);
}

void World::fail_disk() {
  Manager* manager = victim();
  if (manager == nullptr) {
    return;
  }
  fire("disk error");
  if (rng_.chance(30)) {
    return manager->backend->fail_next(
        1 + rng_.below(3), Error{Code::kInternal, "state: write: Input/output error"});
  }
  manager->process.disk.fail_call(1 + rng_.below(20),
                                  Error{Code::kInternal, "write: Input/output error"});
  sick_disks_.insert(manager->id);
  // Its log stops for good; somebody looks at the disk and restarts the agent, or pulls the plug.
  loop_.run_after(between(2s, 20s),
                  [this, id = manager->id, power = rng_.chance(50)] { look_at_sick_disk(id, power); });
}

void World::look_at_sick_disk(const std::string& id, bool power) {
  Manager& same = *managers_.at(id);
  same.process.disk.fail_call(0, {});
  // What failed on a slow disk is told when the plugin is done and the process runs.
  if (has_slow_disks() && (same.raft_loop.ahead() > 0s || same.process.loop.paused())) {
    loop_.run_after(same.raft_loop.ahead() + kLooksAgain, [this, id, power] { look_at_sick_disk(id, power); });
    return;
  }
  const bool sick = same.raft != nullptr && !same.raft->status().healthy();
  if (same.runs() && (sick || !same.fatal.empty())) {
    stop_manager(same, power);
    start_later(same, 100ms);
  }
  same.fatal.clear();
  sick_disks_.erase(id);
}

void World::fill_disk() {
  Manager* manager = victim();
  if (manager == nullptr) {
    return;
  }
  fire("disk full");
  other_reason_[manager->id] = loop_.now();
  auto& disk = manager->process.disk;
  const auto free = disk.free_bytes("/");
  const std::uint64_t used = UINT64_MAX - (free ? *free : 0);
  disk.set_capacity(used + rng_.below(40'000));
  manager->backend->fail_next(rng_.below(3), Error{Code::kResourceExhausted, "no space", "DISK_FULL"});
  loop_.run_after(between(500ms, 15s), [this, id = manager->id] {
    managers_.at(id)->process.disk.set_capacity(UINT64_MAX);
  });
}

void World::restart_raft() {
  Manager* manager = victim();
  if (manager == nullptr || manager->raft == nullptr) {
    return;
  }
  fire("consensus restarted");
  raft_invariants_.restarted(manager->member_id);
  manager->kill_raft();
  loop_.run_after(between(0s, 5s), [this, id = manager->id] {
    Manager& same = *managers_.at(id);
    if (same.runs() && same.raft == nullptr) {
      judge_flip_in_log(same);
      static_cast<void>(same.start_raft());
    }
  });
}

void World::heal_managers() {
  for (const auto& [id, manager] : managers_) {
    manager->process.loop.resume();
    manager->process.clock.set_right();
    manager->slow_disk_down(0s);
    manager->process.disk.set_capacity(UINT64_MAX);
    manager->process.disk.fail_call(0, {});
    manager->backend->fail_next(0, {});
    if (manager->runs() && !manager->removed && manager->raft == nullptr) {
      judge_flip_in_log(*manager);
      static_cast<void>(manager->start_raft());
    }
    if (has_slow_disks() && sick_disks_.contains(id)) {
      loop_.run_after(kLooksAgain, [this, id = id] { look_at_sick_disk(id, /*power=*/false); });
      start_later(*manager, 10ms);
      continue;
    }
    const bool sick = manager->runs() && manager->raft != nullptr &&
                      (!manager->raft->status().healthy() || !manager->fatal.empty());
    sick_disks_.erase(id);
    manager->fatal.clear();
    if (sick) {
      stop_manager(*manager, /*power=*/false);
    }
    start_later(*manager, 10ms);
  }
}

/// What the driver says of itself: only a disk may make it give up, and what it lost.
void World::check_logs() {
  for (const auto& [id, manager] : managers_) {
    if (manager->raft == nullptr) {
      continue;
    }
    const auto status = manager->raft->status();
    if (!status.healthy() && status.description().find("found itself wrong") != std::string::npos &&
        !is_told_as_lost(*manager, status.description())) {
      invariants_.violate("the log of " + id + ": " + status.description());
    }
  }
}

std::string World::unmet_goal_of_managers() const {
  Manager* lead = leader();
  if (lead == nullptr) {
    return "no manager leads";
  }
  const store::Store& reference = lead->manager->store();
  for (const auto& [id, manager] : managers_) {
    if (manager->removed || joining_.contains(id)) {
      continue;
    }
    if (!manager->runs() || !manager->manager->consensus().is_open()) {
      return "manager " + id + " does not run";
    }
    const store::Store& store = manager->manager->store();
    if (store.applied_index() + 50 < reference.applied_index()) {
      return "manager " + id + " lags behind: it applied " + std::to_string(store.applied_index()) +
             " of " + std::to_string(reference.applied_index()) + " entries";
    }
    const raft::RaftLog& log = manager->raft->raft()->log();
    if (const auto kept = log.last_index() + 1 - log.first_index(); !shape_.wide && kept > shape_.log_entries_most) {
      return "the log of manager " + id + " grows: it holds " + std::to_string(kept) + " entries";
    }
  }
  return {};
}

}  // namespace skep::sim
