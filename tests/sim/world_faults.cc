#include "world.h"

namespace skep::sim {

namespace {
const char* const kClasses[] = {"connection broken", "partition",        "late messages",
                                "node power loss",   "agent killed",     "manager power loss",
                                "container ended",   "driver call failed", "driver restarted",
                                "operator"};
const char* const kDrivers[] = {"runtime/oci", "volume/local", "network/bridge"};
}  // namespace

void World::fire(const std::string& name) {
  ++outcome_.faults[name];
  trace_.note(loop_.now(), name, rng_.next());
}

void World::schedule_faults() {
  for (const char* name : kClasses) {
    if (rng_.chance(60)) {
      enabled_.insert(name);
    }
  }
  if (enabled_.empty()) {
    enabled_ = {"agent killed", "operator"};
  }
  one_fault();
}

void World::one_fault() {
  if (healed_) {
    return;
  }
  auto name = enabled_.begin();
  std::advance(name, static_cast<std::ptrdiff_t>(rng_.below(enabled_.size())));
  SimNode& node = any_node();
  if (*name == "connection broken") {
    break_connection(node);
  } else if (*name == "partition") {
    partition(node);
  } else if (*name == "late messages") {
    slow_down();
  } else if (*name == "node power loss") {
    lose_node_power(node);
  } else if (*name == "agent killed") {
    restart_agent(node);
  } else if (*name == "manager power loss") {
    crash_manager();
  } else if (*name == "container ended") {
    end_container(node);
  } else if (*name == "driver call failed") {
    fail_driver_calls(node);
  } else if (*name == "driver restarted") {
    restart_driver(node);
  } else {
    one_action();
  }
  loop_.run_after(between(100ms, 6s), [this] { one_fault(); });
}

void World::break_connection(SimNode& node) {
  if (bus_.disconnect([&node](const std::string& from, const std::string& to) {
        return from == node.agent_name() && to == "m1/core";
      }) > 0) {
    fire("connection broken");
  }
}

void World::partition(SimNode& node) {
  if (!cut_off_.insert(node.id()).second) {
    return;
  }
  fire("partition");
  loop_.run_after(between(500ms, 60s), [this, id = node.id(), name = node.agent_name()] {
    cut_off_.erase(id);
    // What was sent meanwhile is gone, so the connection is too.
    bus_.disconnect([&name](const std::string& from, const std::string& to) {
      return from == name && to == "m1/core";
    });
  });
}

void World::slow_down() {
  fire("late messages");
  slow_until_ = loop_.now() + between(1s, 20s);
}

void World::lose_node_power(SimNode& node) {
  if (!node.is_on()) {
    return;
  }
  fire("node power loss");
  node.power_off();
  loop_.run_after(between(1s, 90s), [&node] {
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
  node.kill_agent();
  loop_.run_after(between(0s, 40s), [&node] { node.start_agent(); });
}

void World::crash_manager() {
  if (!manager_->runs() || rng_.chance(70)) {
    return;  // Rarer than the others: one manager, many nodes.
  }
  fire("manager power loss");
  // Not from within: the loop under us is the world's, not the manager's.
  manager_->crash();
  loop_.run_after(between(0s, 20s), [this] { manager_->start(); });
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
  slow_until_ = {};
  cut_off_.clear();
  bus_.disconnect([](const std::string&, const std::string& to) { return to == "m1/core"; });
  manager_->start();
  for (const auto& node : nodes_) {
    node->runtime.faults.clear();
    node->network.faults.clear();
    node->volume.faults.clear();
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
