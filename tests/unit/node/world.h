#pragma once

// One node with fake drivers and a fake manager, in virtual time.

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/node/node.h"
#include "core/node/testing/fake_parts.h"
#include "skep/dispatch.methods.h"
#include "skep/testing/fake_network.h"
#include "skep/testing/fake_runtime.h"
#include "skep/testing/fake_volume.h"

#include "skep/testing/manual_env.h"
#include "tests/unit/node/frame_bus.h"

namespace skep::node::testing {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using model::v1::Task;
using model::v1::TaskState;
using model::v1::TaskStatus;

/// A manager that only dispatches. Checks that states never go back.
class FakeManager {
 public:
  explicit FakeManager(Loop& loop);
  void assign(const Task& task);
  void remove(const std::string& id);
  /// Ends every session; later ones are refused until resume().
  void refuse(Error why);
  void resume() { refusal_.reset(); }
  /// Forgets sessions, as a new leader does.
  void change_leader();
  /// Tells the node another heartbeat period.
  void set_period(Duration period);
  /// The next incremental message pretends to follow another one.
  void skip_sequence() { ++sequence_; }

  rpc::MethodTable table;
  std::map<std::string, Task> tasks;
  std::map<std::string, TaskStatus> statuses;
  std::map<std::string, std::vector<TaskState>> history;
  std::vector<model::v1::NodeDescription> descriptions;
  bool loses_answers = false;  ///< descriptions are taken, and answered with an error
  int sessions = 0;
  int heartbeats = 0;
  int completes = 0;
  int updates = 0;
  bool restarting = false;

 private:
  void send(const dispatch::v1::AssignmentsMessage& message);
  void take(const dispatch::v1::TaskStatusUpdate& update);
  Status check_session(const std::string& id) const;
  void serve_calls();

  Loop& loop_;
  std::optional<Error> refusal_;
  std::string session_;
  Duration period_ = 5s;
  std::optional<rpc::TypedServerStream<dispatch::v1::methods::Session>> stream_;
  std::optional<rpc::TypedServerStream<dispatch::v1::methods::Assignments>> assignments_;
  std::uint64_t sequence_ = 0;
};

class World {
 public:
  explicit World(std::uint64_t seed = 1);
  ~World();

  void start_agent();
  /// kill -9 of the agent.
  void kill_agent();
  void restart_agent() {
    kill_agent();
    start_agent();
  }
  void lose_power();
  /// The plugin of a driver dies and comes back.
  void restart_driver(const std::string& name);
  void take_down(const std::string& name);
  void bring_up(const std::string& name);

  /// A task of service "web" that runs image "web:1".
  static Task task(const std::string& id, TaskState desired = model::v1::TASK_STATE_RUNNING);
  void assign(const Task& task) { manager.assign(task); }
  void desire(const std::string& id, TaskState state);
  /// Runs until the manager knows the task in `state`; fails the test after `limit`.
  bool reaches(const std::string& id, TaskState state, Duration limit = 60s);
  TaskState state_of(const std::string& id) { return manager.statuses[id].state(); }
  std::string error_of(const std::string& id) { return manager.statuses[id].error(); }
  const skep::testing::FakeRuntime::Container* container(const std::string& task_id) const;
  /// "" when nothing of any task is left but dead containers of assigned ones.
  std::string leaks() const;

  skep::testing::ManualEnv env;
  FrameBus bus{env.loop};
  skep::testing::FakeRuntime runtime{env.loop, env.loop};
  skep::testing::FakeVolume volume;
  skep::testing::FakeNetwork network;
  FakeManager manager{env.loop};
  int silences = 0;  // managers that were asked for a session and said nothing
  FakeSandboxMaker sandboxes{env.loop};
  FakeDriverDirectory directory;
  FakeNodeFacts facts;
  MemoryRecordStore records;
  NodeConfig config;
  std::unique_ptr<NodeAgent> agent;

 private:
  std::map<std::string, rpc::MethodTable> tables_;
};

}  // namespace skep::node::testing
