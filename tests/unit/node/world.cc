#include "tests/unit/node/world.h"

namespace skep::node::testing {

namespace methods = dispatch::v1::methods;

FakeManager::FakeManager(Loop& loop) : loop_(loop) { serve_calls(); }

void FakeManager::serve_calls() {
  table.on_stream<methods::Session>([this](const auto& request, auto stream) {
    if (refusal_) {
      return stream.finish(*refusal_);
    }
    ++sessions;
    session_ = "session" + std::to_string(sessions);
    descriptions.push_back(request.description());
    dispatch::v1::SessionMessage message;
    message.set_session_id(session_);
    message.set_heartbeat_period(period_.count());
    (void)stream.send(message);
    stream_.emplace(std::move(stream));
  });
  table.on_stream<methods::Assignments>([this](const auto& request, auto stream) {
    if (auto status = check_session(request.session_id()); !status) {
      return stream.finish(std::move(status));
    }
    assignments_.emplace(std::move(stream));
    ++completes;
    dispatch::v1::AssignmentsMessage message;
    message.set_type(dispatch::v1::AssignmentsMessage::COMPLETE);
    message.set_results_in(std::to_string(++sequence_));
    for (const auto& [id, task] : tasks) {
      *message.add_tasks() = task;
      *message.mutable_tasks(message.tasks_size() - 1)->mutable_status() = statuses[id];
    }
    (void)assignments_->send(message);
  });
  table.on_sync<methods::Heartbeat>(
      [this](const auto& request) -> Result<dispatch::v1::HeartbeatResponse> {
        SKEP_TRY(check_session(request.session_id()));
        ++heartbeats;
        restarting = restarting || request.restarting();
        dispatch::v1::HeartbeatResponse response;
        response.set_period(period_.count());
        return response;
      });
  table.on_sync<methods::UpdateTaskStatus>(
      [this](const auto& request) -> Result<dispatch::v1::UpdateTaskStatusResponse> {
        SKEP_TRY(check_session(request.session_id()));
        ++updates;
        for (const auto& update : request.updates()) {
          take(update);
        }
        return dispatch::v1::UpdateTaskStatusResponse();
      });
  table.on_sync<methods::UpdateDescription>(
      [this](const auto& request) -> Result<dispatch::v1::UpdateDescriptionResponse> {
        SKEP_TRY(check_session(request.session_id()));
        descriptions.push_back(request.description());
        if (loses_answers) {
          return Error{Code::kTimeout, "the log has it, but nobody knows yet"};
        }
        return dispatch::v1::UpdateDescriptionResponse();
      });
}

void FakeManager::set_period(Duration period) {
  period_ = period;
  dispatch::v1::SessionMessage message;
  message.set_session_id(session_);
  message.set_heartbeat_period(period_.count());
  (void)stream_->send(message);
}

Status FakeManager::check_session(const std::string& id) const {
  if (refusal_) {
    return *refusal_;
  }
  return id == session_ ? ok() : Status(Error{Code::kNotFound, "session unknown"});
}

void FakeManager::take(const dispatch::v1::TaskStatusUpdate& update) {
  auto& known = statuses[update.task_id()];
  EXPECT_GE(update.status().state(), known.state())
      << "task " << update.task_id() << " went back";
  if (history[update.task_id()].empty() ||
      history[update.task_id()].back() != update.status().state()) {
    history[update.task_id()].push_back(update.status().state());
  }
  known = update.status();
}

void FakeManager::send(const dispatch::v1::AssignmentsMessage& message) {
  if (assignments_) {
    (void)assignments_->send(message);
  }
}

void FakeManager::assign(const Task& task) {
  tasks[task.id()] = task;
  dispatch::v1::AssignmentsMessage message;
  message.set_type(dispatch::v1::AssignmentsMessage::INCREMENTAL);
  message.set_applies_to(std::to_string(sequence_));
  message.set_results_in(std::to_string(++sequence_));
  *message.add_tasks() = task;
  send(message);
}

void FakeManager::remove(const std::string& id) {
  tasks.erase(id);
  dispatch::v1::AssignmentsMessage message;
  message.set_type(dispatch::v1::AssignmentsMessage::INCREMENTAL);
  message.set_applies_to(std::to_string(sequence_));
  message.set_results_in(std::to_string(++sequence_));
  message.add_removed_tasks(id);
  send(message);
}

void FakeManager::refuse(Error why) {
  refusal_ = why;
  session_.clear();
  if (auto stream = std::exchange(assignments_, std::nullopt)) {
    stream->finish(why);
  }
  if (auto stream = std::exchange(stream_, std::nullopt)) {
    stream->finish(why);
  }
}

void FakeManager::change_leader() { session_ = "of another leader"; }

World::World(std::uint64_t seed) : env(seed) {
  bind_driver(tables_["runtime/oci"], runtime, env.env);
  bind_driver(tables_["volume/local"], volume, env.env);
  bind_driver(tables_["network/bridge"], network, env.env);
  bus.serve("core", manager.table);
  for (const auto& [name, table] : tables_) {
    bring_up(name);
  }
  config.node_id = "nodeid";
  config.installation_id = "inst1";
  config.run_dir = "/run/skep";
  config.version = "0.1.0";
  config.on_silence = [this] { ++silences; };
  runtime.publish_image("web:1");
  (void)env.disk.make_directories("/etc", 0755);
  (void)env.disk.write_file_atomic("/etc/resolv.conf", "nameserver 10.9.9.9\nsearch lan\n", 0644);
}

World::~World() {
  agent.reset();
  bus.lose = nullptr;
  bus.delivered = nullptr;
}

void World::start_agent() {
  agent = std::make_unique<NodeAgent>(
      env.env, bus, config,
      NodeParts{.sandboxes = sandboxes, .records = records, .drivers = directory, .facts = facts});
  ASSERT_TRUE(agent->start());
}

void World::kill_agent() { agent.reset(); }

void World::lose_power() {
  kill_agent();
  runtime.lose_power();
  sandboxes.lose_power();
  records.lose_power(env.random);
  network.endpoints.clear();
  network.networks.clear();
  volume.mounts.clear();
  for (const auto& [name, table] : tables_) {
    take_down(name);
    bring_up(name);
  }
}

void World::take_down(const std::string& name) {
  bus.take_down(name);
  directory.incarnations.erase(name);
  if (agent) {
    agent->drivers_changed();
  }
}

void World::bring_up(const std::string& name) {
  static std::uint64_t incarnation = 0;
  bus.serve(name, tables_.at(name));
  directory.incarnations[name] = ++incarnation;
  if (agent) {
    agent->drivers_changed();
  }
}

void World::restart_driver(const std::string& name) {
  take_down(name);
  bring_up(name);
}

Task World::task(const std::string& id, TaskState desired) {
  Task task;
  task.set_id(id);
  task.set_service_id("svcid");
  task.set_service_name("web");
  task.set_slot(1);
  task.set_node_id("nodeid");
  task.set_desired_state(desired);
  task.mutable_status()->set_state(model::v1::TASK_STATE_ASSIGNED);
  task.mutable_spec()->mutable_container()->set_image("web:1");
  auto& mount = *task.mutable_spec()->mutable_container()->add_mounts();
  mount.set_source("data");
  mount.set_target("/data");
  auto& port = *task.add_ports();
  port.set_target_port(80);
  port.set_mode(model::v1::PublishedPort::HOST);
  return task;
}

void World::desire(const std::string& id, TaskState state) {
  auto task = manager.tasks.at(id);
  task.set_desired_state(state);
  manager.assign(task);
}

bool World::reaches(const std::string& id, TaskState state, Duration limit) {
  return env.loop.run_until([&] { return state_of(id) >= state; }, limit) && state_of(id) == state;
}

const skep::testing::FakeRuntime::Container* World::container(const std::string& task_id) const {
  return runtime.find_by_label("com.docker.swarm.task.id", task_id);
}

std::string World::leaks() const {
  std::string found;
  for (const auto& [id, container] : runtime.containers) {
    const auto task = container.info.labels().at("com.docker.swarm.task.id");
    if (container.info.state() != runtime::v1::CONTAINER_STATE_EXITED ||
        !manager.tasks.contains(task)) {
      found += "container of " + task + "; ";
    }
    if (container.starts > 1) {
      found += "container of " + task + " started " + std::to_string(container.starts) + " times; ";
    }
  }
  for (const auto& id : sandboxes.sandboxes) {
    found += "sandbox " + id + "; ";
  }
  for (const auto& [key, endpoint] : network.endpoints) {
    found += "endpoint " + key.first + "/" + key.second + "; ";
  }
  for (const auto& [name, id] : volume.mounts) {
    found += "mount " + name + "/" + id + "; ";
  }
  return found;
}

}  // namespace skep::node::testing
