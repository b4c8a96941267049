#include "core/node/record.h"
#include "tests/unit/node/world.h"

namespace skep::node::testing {
namespace {

using model::v1::TASK_STATE_COMPLETE;
using model::v1::TASK_STATE_FAILED;
using model::v1::TASK_STATE_READY;
using model::v1::TASK_STATE_REJECTED;
using model::v1::TASK_STATE_RUNNING;
using model::v1::TASK_STATE_SHUTDOWN;
using model::v1::TASK_STATE_STARTING;
using ::testing::Test;

class Lifecycle : public Test, public World {
 public:
  Lifecycle() { start_agent(); }
};

TEST_F(Lifecycle, BringsATaskUpWithEverythingItAskedFor) {
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING)) << error_of("t1");
  const auto* made = container("t1");
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(made->info.name(), "web.1.t1");
  EXPECT_EQ(made->info.labels().at("com.docker.swarm.service.name"), "web");
  EXPECT_EQ(made->info.labels().at("com.docker.swarm.task.name"), "web.1.t1");
  EXPECT_EQ(made->info.labels().at("skep.installation"), "inst1");
  ASSERT_EQ(made->request.binds_size(), 1);
  EXPECT_EQ(made->request.binds(0).source(), "/volumes/data");
  EXPECT_EQ(made->request.sandbox(), "/run/sandbox/t1");
  const auto& status = manager.statuses["t1"];
  EXPECT_EQ(status.message(), "started");
  EXPECT_EQ(status.container().container_id(), made->info.container_id());
  EXPECT_GT(status.container().pid(), 0);
  ASSERT_EQ(status.ports().ports_size(), 1);
  EXPECT_EQ(status.ports().ports(0).published_port(), 30000U);
  EXPECT_NE(env.disk.content("/run/skep/tasks/t1/hosts").find("172.18.0.2"), std::string::npos);
  EXPECT_EQ(env.disk.content("/run/skep/tasks/t1/resolv.conf"),
            "nameserver 10.9.9.9\nsearch lan\n");
}

TEST_F(Lifecycle, WaitsInReadyUntilItShouldRun) {
  assign(task("t1", TASK_STATE_READY));
  ASSERT_TRUE(reaches("t1", TASK_STATE_READY));
  env.loop.advance(60s);
  EXPECT_EQ(container("t1"), nullptr);
  EXPECT_TRUE(sandboxes.sandboxes.empty());
  desire("t1", TASK_STATE_RUNNING);
  EXPECT_TRUE(reaches("t1", TASK_STATE_RUNNING));
}

TEST_F(Lifecycle, StopsOnRequestAndKeepsTheDeadContainerForItsLogs) {
  runtime.behaviour.stop_latency = 2s;
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  desire("t1", TASK_STATE_SHUTDOWN);
  ASSERT_TRUE(reaches("t1", TASK_STATE_SHUTDOWN));
  env.loop.advance(1s);
  EXPECT_EQ(leaks(), "");
  ASSERT_NE(container("t1"), nullptr) << "kept for logs";
  ASSERT_TRUE(agent->container_of("t1").has_value());
  EXPECT_EQ(agent->container_of("t1")->runtime, "runtime/oci");
  manager.remove("t1");
  env.loop.advance(1s);
  EXPECT_EQ(container("t1"), nullptr);
  EXPECT_EQ(records.size(), 0U);
  EXPECT_TRUE(volume.volumes.contains("data")) << "named volumes outlive their tasks";
}

TEST_F(Lifecycle, KillsATaskThatIgnoresItsStopSignalAfterItsGrace) {
  runtime.behaviour.ignores_stop_signal = true;
  auto stubborn = task("t1");
  stubborn.mutable_spec()->mutable_container()->set_stop_grace(Duration(3s).count());
  assign(stubborn);
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  desire("t1", TASK_STATE_SHUTDOWN);
  env.loop.advance(2s);
  EXPECT_EQ(state_of("t1"), TASK_STATE_RUNNING);
  ASSERT_TRUE(reaches("t1", TASK_STATE_SHUTDOWN, 2s));
  EXPECT_EQ(manager.statuses["t1"].container().exit_code(), 137);
}

TEST_F(Lifecycle, ReportsHowTheProgramEnded) {
  for (const auto& id : {"ok", "bad", "oom"}) {
    assign(task(id));
    ASSERT_TRUE(reaches(id, TASK_STATE_RUNNING));
  }
  const auto id_of = [&](const char* id) { return container(id)->info.container_id(); };
  runtime.end_container(id_of("ok"), 0);
  runtime.end_container(id_of("bad"), 3);
  runtime.end_container(id_of("oom"), 137, true);
  env.loop.advance(1s);
  EXPECT_EQ(state_of("ok"), TASK_STATE_COMPLETE);
  EXPECT_EQ(state_of("bad"), TASK_STATE_FAILED);
  EXPECT_EQ(error_of("bad"), "task: non-zero exit (3)");
  EXPECT_EQ(error_of("oom"), "task: out of memory (137)");
  EXPECT_TRUE(manager.statuses["oom"].container().oom_killed());
  EXPECT_EQ(leaks(), "");
}

TEST_F(Lifecycle, ShutsATaskDownInTheMiddleOfAPull) {
  runtime.behaviour.pull_latency = 30s;
  assign(task("t1"));
  env.loop.advance(1s);
  desire("t1", TASK_STATE_SHUTDOWN);
  ASSERT_TRUE(reaches("t1", TASK_STATE_SHUTDOWN, 1s));
  EXPECT_EQ(container("t1"), nullptr);
  EXPECT_EQ(leaks(), "");
}

TEST_F(Lifecycle, PullsAnImageOnceForAllTasksThatWantIt) {
  runtime.behaviour.pull_latency = 5s;
  for (int i = 0; i < 20; ++i) {
    assign(task("t" + std::to_string(i)));
  }
  env.loop.advance(20s);
  EXPECT_EQ(runtime.running(), 20U);
  EXPECT_EQ(runtime.faults.calls("pull"), 1);
}

TEST_F(Lifecycle, RejectsAnImageThatIsNowhere) {
  auto odd = task("t1");
  odd.mutable_spec()->mutable_container()->set_image("nope:9");
  assign(odd);
  ASSERT_TRUE(reaches("t1", TASK_STATE_REJECTED));
  EXPECT_EQ(error_of("t1"), "No such image: nope:9");
  EXPECT_FALSE(manager.statuses["t1"].retryable());
}

TEST_F(Lifecycle, RejectsABindWhoseSourceIsMissing) {
  auto odd = task("t1");
  auto& mount = *odd.mutable_spec()->mutable_container()->add_mounts();
  mount.set_type(model::v1::Mount::BIND);
  mount.set_source("/srv/none");
  mount.set_target("/x");
  assign(odd);
  ASSERT_TRUE(reaches("t1", TASK_STATE_REJECTED));
  EXPECT_EQ(error_of("t1"),
            "invalid mount config for type \"bind\": bind source path does not exist: /srv/none");
  EXPECT_EQ(leaks(), "");
}

TEST_F(Lifecycle, RunsInTheNodesNamespaceOnTheHostNetwork) {
  auto plain = task("t1");
  plain.add_networks()->set_driver("host");
  assign(plain);
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  EXPECT_EQ(container("t1")->request.sandbox(), "");
  EXPECT_EQ(container("t1")->request.hostname(), "node1");
  EXPECT_TRUE(sandboxes.sandboxes.empty());
  EXPECT_TRUE(network.endpoints.empty());
}

TEST_F(Lifecycle, WorksWithARuntimeThatHasNoImages) {
  runtime.has_images = false;
  assign(task("t1"));
  EXPECT_TRUE(reaches("t1", TASK_STATE_RUNNING));
}

TEST_F(Lifecycle, StartsAtMostEightTasksAtOnce) {
  runtime.behaviour.start_latency = 1s;
  for (int i = 0; i < 40; ++i) {
    assign(task("t" + std::to_string(i)));
  }
  env.loop.advance(500ms);
  EXPECT_EQ(runtime.containers.size(), 8U);
  env.loop.advance(600ms);
  EXPECT_EQ(runtime.running(), 8U);
  EXPECT_EQ(runtime.containers.size(), 16U);
  env.loop.advance(5s);
  EXPECT_EQ(runtime.running(), 40U);
}

TEST_F(Lifecycle, NeverWritesARegistryCredentialToItsRecords) {
  runtime.behaviour.pull_latency = 3s;
  auto secret = task("t1");
  secret.mutable_spec()->mutable_container()->set_registry_auth("c2VjcmV0");
  assign(secret);
  env.loop.advance(1s);
  EXPECT_EQ(records.bytes().find("c2VjcmV0"), std::string::npos);
  restart_agent();  // the credential comes again with the assignment
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  EXPECT_EQ(records.bytes().find("c2VjcmV0"), std::string::npos);
  EXPECT_EQ(container("t1")->request.spec().registry_auth(), "");
}

TEST_F(Lifecycle, RemovesAnonymousVolumesWithTheirTask) {
  auto plain = task("t1");
  plain.mutable_spec()->mutable_container()->mutable_mounts(0)->clear_source();
  assign(plain);
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  EXPECT_EQ(volume.volumes.size(), 1U);
  manager.remove("t1");
  env.loop.advance(1s);
  EXPECT_TRUE(volume.volumes.empty());
  EXPECT_EQ(leaks(), "");
}

TEST_F(Lifecycle, GivesHostPortsBackBeforeItReportsTheEnd) {
  auto first = task("t1");
  first.mutable_ports(0)->set_published_port(8080);
  assign(first);
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  desire("t1", TASK_STATE_SHUTDOWN);
  ASSERT_TRUE(env.loop.run_until(
      [&] {
        EXPECT_TRUE(state_of("t1") < TASK_STATE_SHUTDOWN || network.endpoints.empty());
        return state_of("t1") == TASK_STATE_SHUTDOWN;
      },
      10s));
  auto second = task("t2");
  second.mutable_ports(0)->set_published_port(8080);
  assign(second);
  EXPECT_TRUE(reaches("t2", TASK_STATE_RUNNING, 1s));
}

TEST_F(Lifecycle, HoldsATaskInStartingUntilItsFirstHealthyAnswer) {
  runtime.behaviour.health_exit_code = 1;
  auto checked = task("t1");
  auto& check = *checked.mutable_spec()->mutable_container()->mutable_health_check();
  check.add_test("CMD-SHELL");
  check.add_test("true");
  check.set_interval(Duration(1s).count());
  check.set_retries(5);
  assign(checked);
  env.loop.advance(3s);
  EXPECT_EQ(state_of("t1"), TASK_STATE_STARTING);
  runtime.containers.begin()->second.behaviour.health_exit_code = 0;
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING, 2s));
  runtime.containers.begin()->second.behaviour.health_exit_code = 7;
  runtime.containers.begin()->second.behaviour.health_output = "no\nanswer\n";
  ASSERT_TRUE(reaches("t1", TASK_STATE_FAILED, 10s));
  EXPECT_EQ(error_of("t1"),
            "task: unhealthy container: health check failed 5 times in a row: exit 7: no answer");
  env.loop.advance(1s);
  EXPECT_EQ(leaks(), "");
}

TEST_F(Lifecycle, CallsAHangingHealthCheckAFailure) {
  runtime.behaviour.health_latency = 100s;
  auto checked = task("t1");
  auto& check = *checked.mutable_spec()->mutable_container()->mutable_health_check();
  check.add_test("CMD");
  check.add_test("/check");
  check.set_interval(Duration(1s).count());
  check.set_timeout(Duration(2s).count());
  check.set_retries(2);
  assign(checked);
  ASSERT_TRUE(reaches("t1", TASK_STATE_FAILED, 30s));
  EXPECT_NE(error_of("t1").find("exceeded timeout (2s)"), std::string::npos) << error_of("t1");
}

}  // namespace
}  // namespace skep::node::testing
