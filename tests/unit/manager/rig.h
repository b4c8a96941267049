#pragma once

// A manager over the real raft driver, all in one virtual world: what unit tests of the control
// side stand on.

#include <gtest/gtest.h>

#include "core/control/manager.h"
#include "core/store/memory_backend.h"
#include "plugins/consensus/raft/raft_driver.h"
#include "skep/testing/local_bus.h"
#include "skep/testing/manual_env.h"

namespace skep::control {

using namespace std::chrono_literals;

inline bus::v1::Principal principal(const std::string& kind, const std::string& id,
                                    const std::string& role = "") {
  bus::v1::Principal made;
  made.set_kind(kind);
  made.set_id(id);
  made.set_role(role);
  return made;
}

class Rig {
 public:
  explicit Rig(std::uint64_t seed = 1) : world(seed), bus(world.loop) {
    Manager::register_methods(core_table, [this] { return manager.get(); });
    caller = &bus.attach("core", "n1", {"core"}, core_table, principal("core", "n1"));
    user = &bus.attach("user", "n1", {}, no_methods, principal("local", "0"));
  }
  ~Rig() {
    manager.reset();
    stop_raft();
  }

  void start_raft() {
    raft = std::make_unique<raft::RaftDriver>();
    raft_table = std::make_unique<rpc::MethodTable>();
    bind_driver(*raft_table, *raft, world.env);
    auto& core =
        bus.attach("raft", "n1", {"consensus/raft"}, *raft_table, principal("plugin", "raft"));
    start.set_state_dir("/raft");
    (*start.mutable_config())["segment_kib"] = "1024";
    ASSERT_TRUE(raft->start({world.env, core, start}));
  }
  void stop_raft() {
    bus.detach("raft");
    if (raft != nullptr) {
      raft->stop();
      raft.reset();
    }
  }
  /// As agentd does it; the bootstrap is given only the first time.
  void start_manager(bool first) {
    ManagerConfig config;
    config.node_id = "n1";
    config.cluster_id = "c1";
    config.member_id = 7;
    config.address = "127.0.0.1:2377";
    if (first) {
      auto& member = config.bootstrap.emplace_back();
      member.set_id(7);
      member.set_node_id("n1");
    }
    manager = std::make_unique<Manager>(
        world.env, *caller, backend, config,
        Manager::Handlers{[this](const Error& error) { fatal = error.message; },
                          [this](bool leading) { leading ? ++step_ups : ++step_downs; }});
    if (on_manager) {
      on_manager(*manager);
    }
    manager->start([this](Status status) {
      started = true;
      start_status = std::move(status);
    });
  }
  /// A one-node swarm that leads, with its Cluster and Node objects.
  void init() {
    start_raft();
    start_manager(true);
    model::v1::Cluster cluster;
    cluster.set_id("c1");
    cluster.mutable_spec()->set_name("default");
    cluster.mutable_spec()->set_task_history_limit(5);
    model::v1::Node node;
    node.set_id("n1");
    node.mutable_spec()->set_role(model::v1::NODE_ROLE_MANAGER);
    bool done = false;
    manager->bootstrap(cluster, node, [&](Status status) {
      EXPECT_TRUE(status) << status.error().message;
      done = true;
    });
    ASSERT_TRUE(world.loop.run_until([&] { return done; }, 10s));
  }
  /// Power failure of the whole node: processes end, unsynced writes may be lost.
  void crash() {
    bus.detach("core");
    bus.detach("raft");
    raft.reset();
    manager.reset();
    world.loop.clear();
    world.disk.crash(world.random);
    backend->crash(world.random);
    caller = &bus.attach("core", "n1", {"core"}, core_table, principal("core", "n1"));
    started = false;
  }
  bool lead() {
    return world.loop.run_until([this] { return manager->leading(); }, 20s);
  }

  template <class M>
  Result<typename M::Response> ask(const typename M::Request& request,
                                   rpc::CallOptions options = {}, rpc::Caller* from = nullptr) {
    Result<typename M::Response> answer = Error{Code::kInternal, "no answer"};
    bool done = false;
    rpc::call<M>(from != nullptr ? *from : *user, "core", request, std::move(options),
                 [&](Result<typename M::Response> reply) {
                   answer = std::move(reply);
                   done = true;
                 });
    EXPECT_TRUE(world.loop.run_until([&] { return done; }, 60s)) << M::kName;
    return answer;
  }

  testing::ManualEnv world;
  testing::LocalBus bus;
  std::shared_ptr<store::MemoryBackend> backend = std::make_shared<store::MemoryBackend>();
  rpc::MethodTable core_table;
  rpc::MethodTable no_methods;
  std::unique_ptr<rpc::MethodTable> raft_table;
  plugin::v1::StartRequest start;
  std::unique_ptr<raft::RaftDriver> raft;
  rpc::Caller* caller = nullptr;
  rpc::Caller* user = nullptr;
  std::unique_ptr<Manager> manager;
  std::function<void(Manager&)> on_manager;
  bool started = false;
  Status start_status = ok();
  std::string fatal;
  int step_ups = 0;
  int step_downs = 0;
};

}  // namespace skep::control
