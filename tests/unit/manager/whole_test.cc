// The whole manager with its loops, and a node that does what it is told: what a person sees.

#include <gtest/gtest.h>

#include "core/control/orchestrator/modes.h"
#include "core/control/standard_loops.h"
#include "rig.h"
#include "skep/control.methods.h"
#include "skep/dispatch.methods.h"

namespace skep::control {
namespace {

namespace methods = control::v1::methods;
namespace d = dispatch::v1;

/// Brings every assigned task to running and stops it when asked; kills on demand.
class ObedientNode {
 public:
  ObedientNode(Rig& rig, std::string id) : rig_(rig), id_(std::move(id)) {
    d::SessionRequest request;
    request.set_node_id(id_);
    auto& description = *request.mutable_description();
    description.set_hostname("host-" + id_);
    description.mutable_platform()->set_os("linux");
    description.mutable_platform()->set_architecture("x86_64");
    description.mutable_resources()->set_nano_cpus(8'000'000'000);
    description.mutable_resources()->set_memory_bytes(std::int64_t{16} << 30);
    for (const char* driver : {"runtime/oci", "volume/local", "network/bridge", "network/host"}) {
      description.mutable_engine()->add_drivers(driver);
    }
    session_ = rpc::open<d::methods::Session>(
        *rig_.caller, "core", request, {.deadline = 0ms},
        [this](const d::SessionMessage& message) {
          if (session_id_.empty()) {
            session_id_ = message.session_id();
            open_assignments();
            beat();
          }
        },
        [](Status) {});
  }
  ~ObedientNode() {
    rig_.world.loop.cancel_timer(timer_);
    session_->cancel();
    if (assignments_ != nullptr) {
      assignments_->cancel();
    }
  }
  void report(const std::string& task, model::v1::TaskState state, int exit_code = 0) {
    tasks_[task] = state;
    d::UpdateTaskStatusRequest request;
    request.set_session_id(session_id_);
    auto& update = *request.add_updates();
    update.set_task_id(task);
    update.mutable_status()->set_state(state);
    update.mutable_status()->set_timestamp(rig_.world.loop.wall_now());
    update.mutable_status()->mutable_container()->set_exit_code(exit_code);
    rpc::call<d::methods::UpdateTaskStatus>(
        *rig_.caller, "core", request, {},
        [](Result<d::UpdateTaskStatusResponse> reply) { EXPECT_TRUE(reply); });
  }
  std::string a_running_task() const {
    for (const auto& [id, state] : tasks_) {
      if (state == model::v1::TASK_STATE_RUNNING) {
        return id;
      }
    }
    return "";
  }
  std::size_t running() const {
    std::size_t count = 0;
    for (const auto& [id, state] : tasks_) {
      count += state == model::v1::TASK_STATE_RUNNING ? 1 : 0;
    }
    return count;
  }

 private:
  void open_assignments() {
    d::AssignmentsRequest request;
    request.set_session_id(session_id_);
    assignments_ = rpc::open<d::methods::Assignments>(
        *rig_.caller, "core", request, {.deadline = 0ms},
        [this](const d::AssignmentsMessage& message) {
          for (const auto& task : message.tasks()) {
            obey(task);
          }
          for (const auto& id : message.removed_tasks()) {
            tasks_.erase(id);
          }
        },
        [](Status) {});
  }
  void obey(const model::v1::Task& task) {
    const auto known = tasks_.find(task.id());
    const auto now = known == tasks_.end() ? model::v1::TASK_STATE_ASSIGNED : known->second;
    if (now > model::v1::TASK_STATE_RUNNING) {
      return;
    }
    if (task.desired_state() >= model::v1::TASK_STATE_SHUTDOWN) {
      report(task.id(), model::v1::TASK_STATE_SHUTDOWN);
    } else if (task.desired_state() == model::v1::TASK_STATE_RUNNING &&
               now < model::v1::TASK_STATE_RUNNING) {
      report(task.id(), model::v1::TASK_STATE_RUNNING);
    } else if (now < model::v1::TASK_STATE_READY) {
      report(task.id(), model::v1::TASK_STATE_READY);
    }
  }
  void beat() {
    d::HeartbeatRequest request;
    request.set_session_id(session_id_);
    rpc::call<d::methods::Heartbeat>(*rig_.caller, "core", request, {},
                                     [](Result<d::HeartbeatResponse>) {});
    timer_ = rig_.world.loop.run_after(4s, [this] { beat(); });
  }

  Rig& rig_;
  const std::string id_;
  std::string session_id_;
  std::shared_ptr<rpc::ClientStream> session_;
  std::shared_ptr<rpc::ClientStream> assignments_;
  std::map<std::string, model::v1::TaskState> tasks_;
  TimerId timer_ = 0;
};

struct Whole : Rig {
  Whole() {
    on_manager = [](Manager& made) {
      for (auto& loop : standard_loops()) {
        made.add_loop(std::move(loop));
      }
    };
    init();
  }
  Result<v1::CreateServiceResponse> create(std::uint64_t replicas) {
    v1::CreateServiceRequest request;
    auto& spec = *request.mutable_spec();
    spec.set_name("web");
    spec.mutable_replicated()->set_replicas(replicas);
    spec.mutable_task()->mutable_container()->set_image("web:1");
    spec.mutable_task()->mutable_restart()->set_delay(0);
    return ask<methods::CreateService>(request);
  }
  v1::ServiceCounts counts() {
    const auto list = ask<methods::ListServices>({});
    return list && list->services_size() > 0 ? list->counts().at(list->services(0).id())
                                             : v1::ServiceCounts();
  }
  Status scale(std::uint64_t replicas) {
    for (int tries = 0; tries < 5; ++tries) {
      v1::GetServiceRequest get;
      get.set_ref("web");
      const auto service = ask<methods::GetService>(get)->service();
      v1::UpdateServiceRequest request;
      request.set_ref("web");
      request.set_version(service.meta().version());
      *request.mutable_spec() = service.spec();
      request.mutable_spec()->mutable_replicated()->set_replicas(replicas);
      auto reply = ask<methods::UpdateService>(request);
      if (reply) {
        return ok();
      }
    }
    return Error{Code::kConflict, "never"};
  }
};

TEST(WholeManager, RunsScalesHealsAndRemovesAService) {
  Whole whole;
  ObedientNode node(whole, "n1");
  ASSERT_TRUE(whole.create(3));
  ASSERT_TRUE(whole.world.loop.run_until([&] { return node.running() == 3; }, 10s));
  whole.world.loop.advance(100ms);
  EXPECT_EQ(whole.counts().running(), 3U);
  EXPECT_EQ(whole.counts().desired(), 3U);

  ASSERT_TRUE(whole.scale(5));
  ASSERT_TRUE(whole.world.loop.run_until([&] { return node.running() == 5; }, 10s));
  ASSERT_TRUE(whole.scale(2));
  ASSERT_TRUE(whole.world.loop.run_until([&] { return node.running() == 2; }, 10s));

  const std::string victim = node.a_running_task();
  node.report(victim, model::v1::TASK_STATE_FAILED, 137);
  whole.world.loop.advance(5s);
  EXPECT_EQ(node.running(), 2U);
  v1::GetTaskRequest get;
  get.set_ref(victim);
  EXPECT_EQ(whole.ask<methods::GetTask>(get)->task().status().container().exit_code(), 137);

  v1::RemoveServiceRequest remove;
  remove.set_ref("web");
  ASSERT_TRUE(whole.ask<methods::RemoveService>(remove));
  ASSERT_TRUE(whole.world.loop.run_until(
      [&] { return whole.manager->store().view().all<model::v1::Task>().empty(); }, 30s));
  EXPECT_EQ(node.running(), 0U);
}

TEST(WholeManager, PortionsOfTasksFollowEachOtherUntilAllAreThere) {
  Whole whole;
  ASSERT_TRUE(whole.create(2 * kNewTasksAtOnce + 1));
  const auto& tasks = whole.manager->store().view().all<model::v1::Task>();
  EXPECT_TRUE(whole.world.loop.run_until([&] { return tasks.size() == 2 * kNewTasksAtOnce + 1; }, 10s));
  whole.world.loop.advance(10s);
  EXPECT_EQ(tasks.size(), 2 * kNewTasksAtOnce + 1);
}

TEST(WholeManager, GoesOnAfterPowerFailures) {
  Whole whole;
  auto node = std::make_unique<ObedientNode>(whole, "n1");
  ASSERT_TRUE(whole.create(10));
  ASSERT_TRUE(whole.world.loop.run_until([&] { return node->running() == 10; }, 10s));
  for (int round = 0; round < 5; ++round) {
    node.reset();
    whole.crash();
    whole.start_raft();
    whole.start_manager(false);
    ASSERT_TRUE(whole.lead());
    node = std::make_unique<ObedientNode>(whole, "n1");
    ASSERT_TRUE(whole.world.loop.run_until([&] { return node->running() == 10; }, 30s));
    EXPECT_EQ(whole.counts().running(), 10U);
  }
}

TEST(WholeManager, AnIdleManagerSleeps) {
  Whole whole;
  ObedientNode node(whole, "n1");
  ASSERT_TRUE(whole.create(3));
  ASSERT_TRUE(whole.world.loop.run_until([&] { return node.running() == 3; }, 10s));
  whole.world.loop.advance(2min);
  const auto frames = whole.bus.frames();
  const auto index = whole.manager->store().applied_index();
  whole.world.loop.advance(10min);
  EXPECT_EQ(whole.manager->store().applied_index(), index)
      << "nothing happens, so nothing is written";
  EXPECT_LT(whole.bus.frames() - frames, 2U * 2U * 200U) << "heartbeats only";
}

}  // namespace
}  // namespace skep::control
