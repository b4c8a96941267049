#include "sim_node.h"

#include "core/node/record.h"

namespace skep::sim {

SimNode::SimNode(std::string id, testing::ManualLoop& loop, testing::LocalBus& bus,
                 std::uint64_t seed, const std::vector<std::string>& managers,
                 std::function<bool(const std::string&)> connects, NodeCertificate* certificate)
    : process(loop, seed), runtime(loop, process.clock), sandboxes(loop), id_(std::move(id)), loop_(loop),
      bus_(bus), connects_(std::move(connects)), certificate_(certificate), book_(process.random) {
  book_.learn(managers, "");
  bind_driver(tables_["runtime/oci"], runtime, process.env);
  bind_driver(tables_["volume/local"], volume, process.env);
  bind_driver(tables_["network/bridge"], network, process.env);
  facts.name = id_;
  for (const auto& [name, table] : tables_) {
    driver_up(name);
  }
  static_cast<void>(process.disk.make_directories("/etc", 0755));
  static_cast<void>(process.disk.write_file_atomic("/etc/resolv.conf", "nameserver 10.9.9.9\n", 0644));
  start_agent();
}

SimNode::~SimNode() {
  kill_agent();
  for (const auto& [name, table] : tables_) {
    bus_.detach(id_ + "/" + name);
  }
}

std::vector<std::string> SimNode::known_managers() const {
  std::vector<std::string> ids;
  for (const auto& text : book_.managers()) {
    ids.push_back(text.substr(0, text.find('=')));
  }
  return ids;
}

void SimNode::start_agent() {
  if (agent_ != nullptr || !on_) {
    return;
  }
  rpc::Caller& local = bus_.attach(agent_name(), id_, {"agent"}, agent_table_,
                                   rig::who("node", id_, "worker"), &process.loop);
  peers_ = std::make_unique<rig::LocalPeers>(
      bus_, process.loop,
      rig::LocalPeers::Options{.node = id_, .role = "worker", .connects = connects_});
  caller_ = std::make_unique<agentd::ManagerCaller>(
      local, *peers_, book_, [] { return agentd::ManagerCaller::Local(); }, [this] { return id_; });
  node::NodeConfig config;
  config.node_id = id_;
  config.installation_id = installation_id();
  config.run_dir = "/run/skep";
  config.version = "sim";
  config.dispatcher = agentd::kManagerTarget;
  config.on_session = [this](const dispatch::v1::SessionMessage& message) {
    book_.learn({message.managers().begin(), message.managers().end()}, message.leader());
    if (certificate_ != nullptr) {
      certificate_->follow(message);
    }
  };
  config.on_silence = [this] { caller_->on_silence(); };
  if (certificate_ != nullptr) {
    config.tls = [this] { return certificate_->tls(); };
    certificate_->start(process.env, *caller_, [this] { agent_->describe(); }, /*manager=*/false);
  }
  agent_ = std::make_unique<node::NodeAgent>(
      process.env, *caller_, config,
      node::NodeParts{.sandboxes = sandboxes, .records = records, .drivers = directory, .facts = facts});
  const auto started = agent_->start();
  SKEP_ASSERT(started.has_value(), "records in memory are always readable");
}

void SimNode::kill_agent() {
  if (agent_ != nullptr) {
    process.loop.kill();
    if (certificate_ != nullptr) {
      certificate_->stop();
    }
    agent_.reset();
    caller_.reset();
    peers_.reset();
    bus_.detach(agent_name());
    process.loop.kill();
  }
}

void SimNode::power_off() {
  kill_agent();
  on_ = false;
  runtime.lose_power();
  sandboxes.lose_power();
  records.lose_power(process.random);
  network.endpoints.clear();
  network.networks.clear();
  volume.mounts.clear();
  for (const auto& [name, table] : tables_) {
    driver_down(name);
  }
}

void SimNode::power_on() {
  on_ = true;
  for (const auto& [name, table] : tables_) {
    driver_up(name);
  }
  start_agent();
}

void SimNode::driver_down(const std::string& driver) {
  bus_.detach(id_ + "/" + driver);
  directory.incarnations.erase(driver);
  if (agent_ != nullptr) {
    agent_->drivers_changed();
  }
}

void SimNode::driver_up(const std::string& driver) {
  if (!on_) {
    return;
  }
  bus_.attach(id_ + "/" + driver, id_, {driver}, tables_.at(driver), rig::who("plugin", driver));
  directory.incarnations[driver] = ++incarnation_;
  if (agent_ != nullptr) {
    agent_->drivers_changed();
  }
}

bool SimNode::runs_container_of(const std::string& task_id) const {
  const auto found = runtime.containers.find(node::container_id_for(installation_id(), task_id));
  return found != runtime.containers.end() &&
         found->second.info.state() == runtime::v1::CONTAINER_STATE_RUNNING;
}

std::string SimNode::leftovers(const std::function<bool(const std::string&)>& keep) const {
  std::string found;
  for (const auto& [id, container] : runtime.containers) {
    const auto label = container.info.labels().find("com.docker.swarm.task.id");
    const std::string task = label == container.info.labels().end() ? "?" : label->second;
    if (container.info.state() == runtime::v1::CONTAINER_STATE_RUNNING && !keep(task)) {
      found += " container of task " + task + " runs on " + id_ + ";";
    }
    if (container.starts > 1) {
      found += " container of task " + task + " was started " + std::to_string(container.starts) +
               " times;";
    }
  }
  for (const std::string& sandbox : sandboxes.sandboxes) {
    if (!keep(sandbox)) {
      found += " sandbox of task " + sandbox + " is left on " + id_ + ";";
    }
  }
  for (const auto& [name, mount] : volume.mounts) {
    if (!keep(mount)) {
      found += " volume " + name + " of task " + mount + " is left mounted on " + id_ + ";";
    }
  }
  for (const auto& [key, endpoint] : network.endpoints) {
    if (!keep(key.second)) {
      found += " endpoint of task " + key.second + " is left on " + id_ + ";";
    }
  }
  return found;
}

}  // namespace skep::sim
