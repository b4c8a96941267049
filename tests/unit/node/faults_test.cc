// Driver errors at every step, restarts at every step, lost frames, missing and restarting drivers.

#include "tests/unit/node/world.h"

namespace skep::node::testing {
namespace {

using model::v1::TASK_STATE_FAILED;
using model::v1::TASK_STATE_REJECTED;
using model::v1::TASK_STATE_REMOVE;
using model::v1::TASK_STATE_RUNNING;
using model::v1::TASK_STATE_SHUTDOWN;

struct FaultPoint {
  const char* driver;
  const char* method;
};

skep::testing::FaultPlan& plan_of(World& world, const std::string& driver) {
  return driver == "runtime"  ? world.runtime.faults
         : driver == "volume" ? world.volume.faults
                              : world.network.faults;
}

class BringUpFault : public ::testing::TestWithParam<FaultPoint>, public World {
 public:
  BringUpFault() { start_agent(); }
};

TEST_P(BringUpFault, OfAWrongRequestEndsTheTaskAndLeavesNothingBehind) {
  const auto [driver, method] = GetParam();
  plan_of(*this, driver).fail_always(method, Error{Code::kInvalidArgument, "it is wrong"});
  assign(task("t1"));
  const bool start = std::string(method) == "start";
  ASSERT_TRUE(reaches("t1", start ? TASK_STATE_FAILED : TASK_STATE_REJECTED)) << state_of("t1");
  EXPECT_EQ(error_of("t1"), start ? "starting container failed: it is wrong" : "it is wrong");
  EXPECT_FALSE(manager.statuses["t1"].retryable());
  env.loop.advance(1s);
  EXPECT_EQ(leaks(), "");
  EXPECT_EQ(runtime.containers.size(), 0U) << "it never ran: there are no logs to keep";
}

TEST_P(BringUpFault, ThatPassesIsRetried) {
  const auto [driver, method] = GetParam();
  plan_of(*this, driver).fail(method, Error{Code::kUnavailable, "not now"}, 3);
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING)) << error_of("t1");
  EXPECT_EQ(container("t1")->starts, 1);
}

TEST_P(BringUpFault, ThatDoesNotPassRejectsTheTaskAsRetryable) {
  const auto [driver, method] = GetParam();
  plan_of(*this, driver).fail_always(method, Error{Code::kUnavailable, "never"});
  assign(task("t1"));
  ASSERT_TRUE(env.loop.run_until([&] { return state_of("t1") > TASK_STATE_RUNNING; }, 120s));
  EXPECT_TRUE(manager.statuses["t1"].retryable());
  env.loop.advance(20s);
  EXPECT_EQ(leaks(), "");
}

INSTANTIATE_TEST_SUITE_P(
    Steps, BringUpFault,
    ::testing::Values(FaultPoint{"runtime", "inspect_image"}, FaultPoint{"runtime", "pull"},
                      FaultPoint{"volume", "create"}, FaultPoint{"volume", "mount"},
                      FaultPoint{"network", "create_network"},
                      FaultPoint{"network", "create_endpoint"}, FaultPoint{"network", "join"},
                      FaultPoint{"network", "publish"}, FaultPoint{"runtime", "create"},
                      FaultPoint{"runtime", "start"}),
    [](const auto& point) {
      return std::string(point.param.driver) + "_" + point.param.method;
    });

class CleanUpFault : public ::testing::TestWithParam<FaultPoint>, public World {
 public:
  CleanUpFault() { start_agent(); }
};

TEST_P(CleanUpFault, IsRetriedUntilNothingIsLeft) {
  const auto [driver, method] = GetParam();
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  plan_of(*this, driver).fail(method, Error{Code::kInternal, "broken"}, 4);
  desire("t1", TASK_STATE_SHUTDOWN);
  ASSERT_TRUE(reaches("t1", TASK_STATE_SHUTDOWN)) << "a failing clean-up holds nobody up";
  manager.remove("t1");
  env.loop.advance(60s);
  EXPECT_EQ(leaks(), "");
  EXPECT_EQ(records.size(), 0U);
}

INSTANTIATE_TEST_SUITE_P(
    Steps, CleanUpFault,
    ::testing::Values(FaultPoint{"runtime", "stop"}, FaultPoint{"runtime", "remove"},
                      FaultPoint{"network", "unpublish"}, FaultPoint{"network", "leave"},
                      FaultPoint{"network", "delete_endpoint"}, FaultPoint{"volume", "unmount"}),
    [](const auto& point) {
      return std::string(point.param.driver) + "_" + point.param.method;
    });

enum class Loss { kNothing, kRecords, kPower };

/// The agent dies just after the n-th frame was delivered; every n until the run has fewer.
class CrashAnywhere : public ::testing::TestWithParam<Loss> {
 public:
  static void crash(World& world, Loss loss) {
    world.kill_agent();
    if (loss == Loss::kRecords) {
      world.records.wipe();
    } else if (loss == Loss::kPower) {
      world.lose_power();
    }
    world.start_agent();
  }
  /// Runs `act` in a fresh world, kills the agent after `n` frames. False: there were fewer.
  static bool run(int n, Loss loss, const std::function<void(World&)>& before,
                  const std::function<void(World&)>& act,
                  const std::function<void(World&)>& check) {
    World world(static_cast<std::uint64_t>(n));
    world.start_agent();
    before(world);
    bool crashed = false;
    int seen = 0;
    world.bus.delivered = [&](const auto&) {
      if (++seen == n && !crashed) {
        crashed = true;
        // Not from within its own call: a process dies between two turns of the loop.
        world.env.loop.post([&] { crash(world, loss); });
      }
    };
    act(world);
    world.env.loop.advance(3s);
    world.bus.delivered = nullptr;
    check(world);
    return crashed;
  }
};

TEST_P(CrashAnywhere, WhileATaskComesUpNeverMakesASecondContainer) {
  int n = 1;
  while (run(
      n, GetParam(), [](World&) {}, [](World& world) { world.assign(World::task("t1")); },
      [&](World& world) {
        const bool over = world.env.loop.run_until(
            [&] { return world.state_of("t1") >= TASK_STATE_RUNNING; }, 120s);
        EXPECT_TRUE(over) << "crash after frame " << n;
        const auto* container = world.container("t1");
        ASSERT_NE(container, nullptr) << "crash after frame " << n;
        EXPECT_EQ(container->starts, 1) << "crash after frame " << n;
        if (GetParam() != Loss::kPower) {
          EXPECT_EQ(world.state_of("t1"), TASK_STATE_RUNNING)
              << "crash after frame " << n << ": " << world.error_of("t1");
          EXPECT_EQ(world.volume.mounts.size(), 1U);
          EXPECT_EQ(world.network.endpoints.size(), 1U);
          EXPECT_EQ(world.sandboxes.sandboxes.size(), 1U);
        }
      })) {
    ++n;
  }
  EXPECT_GT(n, 20);
}

TEST_P(CrashAnywhere, WhileATaskGoesDownLeavesNothing) {
  int n = 1;
  while (run(
      n, GetParam(),
      [](World& world) {
        world.assign(World::task("t1"));
        ASSERT_TRUE(world.reaches("t1", TASK_STATE_RUNNING));
      },
      [](World& world) {
        world.desire("t1", TASK_STATE_REMOVE);
        // Complete, when the order to stop was forgotten after it was obeyed.
        EXPECT_TRUE(world.env.loop.run_until(
            [&] { return world.state_of("t1") > TASK_STATE_RUNNING; }, 120s));
        world.manager.remove("t1");
      },
      [&](World& world) {
        world.env.loop.advance(60s);
        EXPECT_EQ(world.leaks(), "") << "crash after frame " << n;
        EXPECT_EQ(world.records.size(), 0U) << "crash after frame " << n;
        EXPECT_TRUE(world.agent->task_ids().empty()) << "crash after frame " << n;
      })) {
    ++n;
  }
  EXPECT_GT(n, 10);
}

INSTANTIATE_TEST_SUITE_P(Losing, CrashAnywhere,
                         ::testing::Values(Loss::kNothing, Loss::kRecords, Loss::kPower),
                         [](const auto& point) {
                           return point.param == Loss::kNothing  ? "Nothing"
                                  : point.param == Loss::kRecords ? "Records"
                                                                 : "Power";
                         });

TEST(LostFrame, OfAnyCallToADriverIsMadeGood) {
  for (int n = 1;; ++n) {
    World world;
    world.start_agent();
    int seen = 0;
    std::string lost;
    world.bus.lose = [&](const auto& frame) {
      // Wait answers have no deadline: a carrier that loses one of those has broken.
      if (frame.target == "core" || frame.method == "runtime/1/wait" ||
          frame.type == bus::v1::CREDIT || frame.type == bus::v1::STREAM || ++seen != n) {
        return false;
      }
      lost = frame.method + (frame.to_caller ? " reply" : " request");
      return true;
    };
    world.assign(World::task("t1"));
    EXPECT_TRUE(world.reaches("t1", TASK_STATE_RUNNING, std::chrono::hours(2)))
        << "lost " << lost << ": " << world.error_of("t1");
    ASSERT_NE(world.container("t1"), nullptr) << lost;
    EXPECT_EQ(world.container("t1")->starts, 1) << lost;
    world.desire("t1", TASK_STATE_SHUTDOWN);
    EXPECT_TRUE(world.reaches("t1", TASK_STATE_SHUTDOWN, 300s)) << "lost " << lost;
    world.manager.remove("t1");
    world.env.loop.advance(400s);
    EXPECT_EQ(world.leaks(), "") << "lost " << lost;
    if (lost.empty()) {
      EXPECT_GT(n, 30);
      return;
    }
  }
}

TEST(PowerLoss, BringsNoTaskBackThatWasReportedOver) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    World world(seed);
    world.start_agent();
    world.assign(World::task("t1"));
    ASSERT_TRUE(world.reaches("t1", TASK_STATE_RUNNING));
    world.desire("t1", TASK_STATE_SHUTDOWN);
    ASSERT_TRUE(world.reaches("t1", TASK_STATE_SHUTDOWN));
    world.lose_power();
    world.runtime.containers.clear();     // somebody cleared what had ended
    world.bus.take_down("core");          // no manager says what this node should have
    world.start_agent();
    world.env.loop.advance(60s);
    EXPECT_EQ(world.container("t1"), nullptr) << "seed " << seed;
  }
}

class Restarts : public ::testing::Test, public World {};

TEST_F(Restarts, AdoptsWhatRunsAndReportsWhatEndedMeanwhile) {
  start_agent();
  for (const auto& id : {"t1", "t2", "t3"}) {
    assign(task(id));
    ASSERT_TRUE(reaches(id, TASK_STATE_RUNNING));
  }
  kill_agent();
  runtime.end_container(container("t2")->info.container_id(), 42);
  runtime.lose_container(container("t3")->info.container_id());
  start_agent();
  env.loop.advance(5s);
  EXPECT_EQ(state_of("t1"), TASK_STATE_RUNNING);
  EXPECT_EQ(container("t1")->starts, 1);
  EXPECT_EQ(error_of("t2"), "task: non-zero exit (42)");
  EXPECT_NE(error_of("t3").find("disappeared"), std::string::npos) << error_of("t3");
  runtime.end_container(container("t1")->info.container_id(), 5);
  EXPECT_TRUE(reaches("t1", TASK_STATE_FAILED)) << "its end is watched again";
}

TEST_F(Restarts, StopsWhatManagersNoLongerWantWhenItComesBack) {
  start_agent();
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  kill_agent();
  records.wipe();
  manager.tasks.clear();
  start_agent();
  env.loop.advance(5s);
  EXPECT_EQ(leaks(), "");
  EXPECT_TRUE(runtime.containers.empty());
}

TEST_F(Restarts, TellsNothingNewAfterItsRecordsWereLost) {
  start_agent();
  for (const auto& id : {"t1", "t2"}) {
    assign(task(id));
    ASSERT_TRUE(reaches(id, TASK_STATE_RUNNING));
  }
  runtime.end_container(container("t2")->info.container_id(), 3);
  ASSERT_TRUE(reaches("t2", TASK_STATE_FAILED));
  const auto known = manager.statuses;
  kill_agent();
  records.wipe();
  env.loop.advance(100s);
  start_agent();
  env.loop.advance(30s);
  for (const auto& id : {"t1", "t2"}) {
    EXPECT_EQ(manager.statuses[id].SerializeAsString(), known.at(id).SerializeAsString()) << id;
  }
  EXPECT_EQ(runtime.running(), 1U);
  EXPECT_EQ(agent->record("t1")->status().ports().ports_size(), 1);
}

TEST_F(Restarts, KeepsTasksWithoutManagers) {
  start_agent();
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  manager.refuse(Error{Code::kUnavailable, "no leader"});
  env.loop.advance(300s);
  EXPECT_EQ(runtime.running(), 1U);
  restart_agent();
  records.sync();
  env.loop.advance(300s);
  EXPECT_EQ(runtime.running(), 1U) << "also after a restart without managers";
  runtime.end_container(container("t1")->info.container_id(), 9);
  env.loop.advance(1s);
  restart_agent();
  manager.resume();
  ASSERT_TRUE(reaches("t1", TASK_STATE_FAILED)) << "what happened meanwhile is told later";
  EXPECT_EQ(error_of("t1"), "task: non-zero exit (9)");
}

TEST_F(Restarts, WaitsForADriverThatComesLate) {
  take_down("volume/local");
  start_agent();
  assign(task("t1"));
  env.loop.advance(4s);
  EXPECT_LT(state_of("t1"), TASK_STATE_RUNNING);
  bring_up("volume/local");
  EXPECT_TRUE(reaches("t1", TASK_STATE_RUNNING, 1s)) << error_of("t1");
}

TEST_F(Restarts, NamesADriverThatDoesNotCome) {
  take_down("volume/local");
  start_agent();
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_REJECTED, 120s));
  EXPECT_EQ(error_of("t1"),
            "driver 'volume/local' does not run on this node: see 'agentctl plugin ls'");
  EXPECT_TRUE(manager.statuses["t1"].retryable());
}

TEST_F(Restarts, RecoversARestartedDriverBeforeItUsesIt) {
  start_agent();
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  for (const auto& name : {"volume/local", "network/bridge", "runtime/oci"}) {
    restart_driver(name);
    env.loop.advance(2s);
  }
  EXPECT_EQ(volume.mounts.size(), 1U);
  EXPECT_EQ(network.endpoints.size(), 1U);
  EXPECT_EQ(runtime.running(), 1U);
  EXPECT_EQ(runtime.faults.calls("recover"), 2);
  runtime.end_container(container("t1")->info.container_id(), 6);
  EXPECT_TRUE(reaches("t1", TASK_STATE_FAILED)) << "its end is watched by the new incarnation";
}

TEST_F(Restarts, NoticesAnEndThatHappenedWhileTheRuntimeWasAway) {
  start_agent();
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  take_down("runtime/oci");
  runtime.end_container(container("t1")->info.container_id(), 8);
  env.loop.advance(5s);
  EXPECT_EQ(state_of("t1"), TASK_STATE_RUNNING);
  bring_up("runtime/oci");
  ASSERT_TRUE(reaches("t1", TASK_STATE_FAILED, 2s));
  EXPECT_EQ(error_of("t1"), "task: non-zero exit (8)");
}

TEST_F(Restarts, GoesOnWhenRecordsCannotBeWritten) {
  records.failure = Error{Code::kResourceExhausted, "disk full"};
  start_agent();
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  restart_agent();
  env.loop.advance(5s);
  EXPECT_EQ(container("t1")->starts, 1);
  EXPECT_EQ(state_of("t1"), TASK_STATE_RUNNING);
}

TEST_F(Restarts, ReconcilesWhatBelongsToNoTask) {
  start_agent();
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  sandboxes.sandboxes.insert("ghost");
  network.endpoints[{"skep_gwbridge", "ghost"}].sandbox = "/run/sandbox/ghost";
  env.loop.advance(11s);
  EXPECT_EQ(sandboxes.sandboxes, std::set<std::string>{"t1"});
  EXPECT_EQ(network.endpoints.size(), 1U);
  runtime.lose_container(container("t1")->info.container_id());
  ASSERT_TRUE(reaches("t1", TASK_STATE_FAILED, 11s));
  EXPECT_NE(error_of("t1").find("disappeared"), std::string::npos);
}

TEST_F(Restarts, NeverTouchesContainersOfAnotherInstallation) {
  start_agent();
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  auto foreign = runtime.containers.begin()->second;
  (*foreign.info.mutable_labels())["skep.installation"] = "inst2";
  foreign.info.set_container_id("foreign");
  runtime.containers["foreign"] = foreign;
  env.loop.advance(30s);
  EXPECT_TRUE(runtime.containers.contains("foreign"));
  EXPECT_EQ(agent->task_ids().size(), 1U);
}

}  // namespace
}  // namespace skep::node::testing
