#include "world.h"

namespace skep::sim {

namespace {
// Faults of machines and the network; those of managers are in world_managers.cc.
const char* const kClasses[] = {
    "connection broken", "partition",          "late messages",    "messages lost",
    "node power loss",   "agent killed",       "container ended",  "driver call failed",
    "driver restarted",  "operator",           "manager power loss",
    "manager killed",    "manager paused",     "clock jump",       "disk error",
    "disk full",         "consensus restarted", "members",         "leader moved"};
const char* const kDrivers[] = {"runtime/oci", "volume/local", "network/bridge"};
}  // namespace

void World::fire(const std::string& name) {
  ++outcome_.faults[name];
  trace_.note(loop_.now(), name, rng_.next());
}

void World::schedule_faults() {
  const std::uint64_t share = 15 + rng_.below(60);  // few kinds of faults find other things than many
  for (const char* name : kClasses) {
    if (rng_.chance(share)) {
      enabled_.insert(name);
    }
  }
  if (enabled_.size() < 2) {
    enabled_ = {"agent killed", "operator", "manager power loss"};
  }
  if (seed_ % kLosesLogEvery == 1 && shape_.managers > 2) {
    enabled_.erase("members");  // who lost a log is one too few for other changes
    enabled_.insert("log lost");
  }
  if (!enabled_.contains("clock jump")) {
    invariants_.managers_time = [this] { return loop_.wall_now(); };
  }
  schedule_later_faults();
  if (has_slow_disks()) {
    invariants_.decision_lasts = 20s;  // more than two syncs of the slowest
  }
  one_fault();
}

void World::one_fault() {
  if (healed_) {
    return;
  }
  static const std::map<std::string, void (*)(World&, SimNode&)> kFaults{
      {"connection broken", [](World& w, SimNode& n) { w.break_connection(n); }},
      {"partition", [](World& w, SimNode&) { w.partition(); }},
      {"late messages", [](World& w, SimNode&) { w.slow_down(); }},
      {"messages lost", [](World& w, SimNode&) { w.lose_messages(); }},
      {"node power loss", [](World& w, SimNode& n) { w.lose_node_power(n); }},
      {"agent killed", [](World& w, SimNode& n) { w.restart_agent(n); }},
      {"container ended", [](World& w, SimNode& n) { w.end_container(n); }},
      {"driver call failed", [](World& w, SimNode& n) { w.fail_driver_calls(n); }},
      {"driver restarted", [](World& w, SimNode& n) { w.restart_driver(n); }},
      {"operator", [](World& w, SimNode&) { w.one_action(); }},
      {"manager power loss", [](World& w, SimNode&) { w.stop_some_manager(true); }},
      {"manager killed", [](World& w, SimNode&) { w.stop_some_manager(false); }},
      {"manager paused", [](World& w, SimNode&) { w.pause_manager(); }},
      {"clock jump", [](World& w, SimNode&) { w.jump_clock(); }},
      {"disk error", [](World& w, SimNode&) { w.fail_disk(); }},
      {"disk full", [](World& w, SimNode&) { w.fill_disk(); }},
      {"consensus restarted", [](World& w, SimNode&) { w.restart_raft(); }},
      {"members", [](World& w, SimNode&) { w.change_members(); }},
      {"log lost", [](World& w, SimNode&) { w.lose_log(); }},
      {"leader moved", [](World& w, SimNode&) { w.transfer_leadership(); }},
  };
  auto name = enabled_.begin();
  std::advance(name, static_cast<std::ptrdiff_t>(rng_.below(enabled_.size())));
  kFaults.at(*name)(*this, any_node());
  loop_.run_after(between(50ms, fault_pause_max_), [this] { one_fault(); });
}

void World::break_connection(SimNode& node) {
  // A node's to its manager, or one between two managers.
  const Manager* manager = any_manager(/*running=*/true);
  if (manager == nullptr) {
    return;
  }
  const Manager* other = any_manager(/*running=*/true);
  const bool of_node = managers_.size() == 1 || rng_.chance(50);
  const std::string& to = of_node ? node.id() : other->id;
  if (to != manager->id && network_.break_connections(manager->id, to) > 0) {
    disturb(node.id());
    fire("connection broken");
  }
}

void World::partition() {
  if (network_.is_cut()) {
    return;
  }
  std::vector<std::string> everybody;
  for (const auto& [id, manager] : managers_) {
    everybody.push_back(id);
  }
  for (const auto& node : nodes_) {
    everybody.push_back(node->id());
  }
  cut_shape(everybody);
  disturb_all();
  heal_network_ = loop_.run_after(between(300ms, rng_.chance(30) ? 50s : 12s), [this] {
    disturb_all();
    network_.heal();
  });
}

/// One of the ways in which a network falls apart.
void World::cut_shape(const std::vector<std::string>& everybody) {
  const auto cut = [this](const std::string& from, const std::string& to, bool both) {
    network_.cut(from, to);
    if (both) {
      network_.cut(to, from);
    }
  };
  const auto any = [&] { return everybody[rng_.below(everybody.size())]; };
  const std::uint64_t kind = rng_.below(6);
  const Manager* chosen = victim();
  const std::string one = chosen == nullptr || rng_.chance(30) ? any() : chosen->id;
  if (kind == 5) {  // Every manager reaches its two neighbours only.
    fire("partition into a ring");
    std::vector<std::string> ring;
    for (const auto& [id, manager] : managers_) {
      ring.push_back(id);
    }
    for (std::size_t i = 0; i < ring.size(); ++i) {
      for (std::size_t j = i + 2; j < ring.size() && j - i < ring.size() - 1; ++j) {
        cut(ring[i], ring[j], true);
      }
    }
    return;
  }
  if (kind <= 1) {
    fire(kind == 0 ? "one machine cut off" : "one machine cut off one way");
    const bool outwards = rng_.chance(50);
    const bool refused = rng_.chance(30);
    for (const std::string& other : everybody) {
      if (other == one) {
        continue;
      }
      outwards ? cut(one, other, kind == 0) : cut(other, one, kind == 0);
      if (kind == 0 && refused) {
        network_.refuse(one, other);
        network_.break_connections(one, other);
      }
    }
    return;
  }
  const bool bridge = kind == 3;
  const bool one_way = kind == 4;
  fire(bridge ? "partition with a bridge" : one_way ? "partition one way" : "partition in two");
  std::vector<std::string> left;
  std::vector<std::string> right;
  for (const std::string& machine : everybody) {
    if (!(bridge && machine == one)) {
      (rng_.chance(50) ? left : right).push_back(machine);
    }
  }
  for (const std::string& a : left) {
    for (const std::string& b : right) {
      cut(a, b, !one_way);
    }
  }
}

void World::slow_down() {
  fire("late messages");
  disturb_all();
  network_.slow_until(loop_.now() + between(1s, 20s), rng_.chance(50) ? 150ms : 2s);
}

void World::lose_messages() {
  fire("messages lost");
  disturb_all();
  watcher_.pause();
  network_.begin_loss(1 + rng_.below(30));
  loop_.run_after(between(1s, 15s), [this] {
    network_.end_loss();
    watcher_.go_on();
  });
}

void World::lose_node_power(SimNode& node) {
  if (!node.is_on()) {
    return;
  }
  fire("node power loss");
  disturb(node.id());
  node.power_off();
  loop_.run_after(between(1s, shape_.wide ? 90s : 40s), [this, &node] {
    disturb(node.id());
    if (!node.is_on()) {
      node.power_on();
    }
  });
}

void World::restart_agent(SimNode& node) {
  if (!node.agent_runs()) {
    return;
  }
  fire("agent killed");
  disturb(node.id());
  node.kill_agent();
  loop_.run_after(between(0s, 40s), [this, &node] {
    disturb(node.id());
    node.start_agent();
  });
}

void World::end_container(SimNode& node) {
  std::vector<std::string> running;
  for (const auto& [id, container] : node.runtime.containers) {
    if (container.info.state() == runtime::v1::CONTAINER_STATE_RUNNING) {
      running.push_back(id);
    }
  }
  if (!running.empty()) {
    fire("container ended");
    const int codes[] = {0, 1, 137};
    node.runtime.end_container(running[rng_.below(running.size())], codes[rng_.below(3)]);
  }
}

void World::fail_driver_calls(SimNode& node) {
  const Error errors[] = {Error{Code::kUnavailable, "simulated: not now"},
                          Error{Code::kInternal, "simulated: defect"},
                          Error{Code::kTimeout, "simulated: no answer"}};
  const char* const runtime[] = {"pull", "create", "start", "stop", "remove", "list", "wait"};
  const char* const network[] = {"create_endpoint", "join", "leave", "delete_endpoint", "list",
                                 "recover"};
  const char* const volume[] = {"create", "mount", "unmount", "recover"};
  const Error& error = errors[rng_.below(3)];
  const int times = static_cast<int>(1 + rng_.below(3));
  switch (rng_.below(4)) {
    case 0: return node.network.faults.fail(network[rng_.below(6)], error, times);
    case 1: return node.volume.faults.fail(volume[rng_.below(4)], error, times);
    default: return node.runtime.faults.fail(runtime[rng_.below(7)], error, times);
  }
}

void World::restart_driver(SimNode& node) {
  const std::string driver = kDrivers[rng_.below(3)];
  if (!node.is_on() || !node.driver_is_up(driver)) {
    return;
  }
  fire("driver restarted");
  node.driver_down(driver);
  loop_.run_after(between(0s, 15s), [&node, driver] {
    if (!node.driver_is_up(driver)) {
      node.driver_up(driver);
    }
  });
}

void World::heal() {
  healed_ = true;
  disturb_all();
  network_.slow_until({}, {});
  network_.end_loss();
  watcher_.go_on();
  if (certified_ != nullptr) {
    certified_->heal();
  }
  loop_.cancel_timer(heal_network_);
  network_.heal();
  heal_managers();
  loop_.run_after(5s, [this] { clients_.stop(); });
  for (const auto& node : nodes_) {
    node->runtime.faults.clear();
    node->network.faults.clear();
    node->volume.faults.clear();
    if (certified_ != nullptr) {
      node->process.clock.set_right();  // certificates go by it; tasks do not
    }
    if (!node->is_on()) {
      node->power_on();
    }
    for (const char* driver : kDrivers) {
      if (!node->driver_is_up(driver)) {
        node->driver_up(driver);
      }
    }
    node->start_agent();
  }
}

}  // namespace skep::sim
