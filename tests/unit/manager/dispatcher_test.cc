#include "core/control/dispatcher/dispatcher.h"

#include <gtest/gtest.h>

#include "core/model/defaults.h"
#include "dispatcher_world.h"
#include "skep/envelope.h"

namespace skep::control {
namespace {

using World = DispatcherWorld;

TEST(Dispatcher, ASessionMakesItsNodeReady) {
  World world;
  const std::string session = world.open("n1");
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_READY);
  ASSERT_FALSE(world.session_messages.empty());
  EXPECT_EQ(world.session_messages[0].session_id(), session);
  EXPECT_EQ(world.session_messages[0].heartbeat_period(), Duration(5s).count());
  EXPECT_EQ(world.session_messages[0].leader_epoch(), 3U);
}

TEST(Dispatcher, RefusesNodesThatAreNotPartOfTheSwarm) {
  World world;
  dispatch::v1::SessionRequest request;
  request.set_node_id("stranger");
  Effects effects;
  const auto result = world.dispatcher->open_session(request, world.now, effects);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().reason, "NODE_UNKNOWN");
}

TEST(Dispatcher, ANodeIsDownAfterThreeMissedHeartbeats) {
  World world;
  const std::string session = world.open("n1");
  for (int i = 0; i < 10; ++i) {
    world.advance(5s);
    world.beat(session);
  }
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_READY);
  world.advance(14s);
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_READY);
  world.advance(2s);
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_DOWN);
  EXPECT_EQ(world.ended[session], "HEARTBEAT_MISSED");
  dispatch::v1::HeartbeatRequest late;
  late.set_session_id(session);
  EXPECT_EQ(world.dispatcher->heartbeat(late, world.now).error().reason, "SESSION_UNKNOWN");
  world.open("n1");
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_READY);
}

TEST(Dispatcher, AClosedStreamShortensTheWaitToThreeSeconds) {
  World world;
  const std::string session = world.open("n1");
  world.take(world.dispatcher->session_closed(session, world.now));
  world.advance(2900ms);
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_READY);
  world.advance(200ms);
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_DOWN);
}

TEST(Dispatcher, ANewSessionInTimeKeepsTheNodeReady) {
  World world;
  const std::string first = world.open("n1");
  world.take(world.dispatcher->session_closed(first, world.now));
  world.advance(2s);
  world.open("n1");
  EXPECT_EQ(world.ended[first], "SESSION_REPLACED");
  world.take(world.dispatcher->session_closed(first, world.now));
  world.advance(10s);
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_READY);
}

TEST(Dispatcher, ANodeThatRestartsGetsThirtySeconds) {
  World world;
  const std::string session = world.open("n1");
  world.beat(session, /*restarting=*/true);
  world.take(world.dispatcher->session_closed(session, world.now));
  world.advance(29s);
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_READY);
  world.advance(2s);
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_DOWN);
}

TEST(Dispatcher, ANewLeaderGivesEveryNodeTheFullGrace) {
  World world;
  world.advance(29s);
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_UNKNOWN);
  world.open("n1");
  world.advance(2s);
  EXPECT_EQ(world.state_of("n1"), model::v1::NODE_STATE_READY);
  EXPECT_EQ(world.state_of("n2"), model::v1::NODE_STATE_DOWN);
}

TEST(Dispatcher, TasksOfANodeThatStaysDownAreOrphaned) {
  World world;
  world.add_task("t1", "n2", model::v1::TASK_STATE_RUNNING);
  world.add_task("t2", "n2", model::v1::TASK_STATE_FAILED);
  world.advance(31s);
  ASSERT_EQ(world.state_of("n2"), model::v1::NODE_STATE_DOWN);
  world.advance(23h);
  EXPECT_EQ(world.task_state("t1"), model::v1::TASK_STATE_RUNNING);
  world.advance(1h);
  EXPECT_EQ(world.task_state("t1"), model::v1::TASK_STATE_ORPHANED);
  EXPECT_EQ(world.task_state("t2"), model::v1::TASK_STATE_FAILED);
}

TEST(Dispatcher, ANodeThatCameBackKeepsItsTasks) {
  World world;
  world.add_task("t1", "n2", model::v1::TASK_STATE_RUNNING);
  world.advance(1min);
  const std::string session = world.open("n2");
  for (int i = 0; i < 4 * 3600; ++i) {
    world.advance(8s);
    world.beat(session);
  }
  EXPECT_EQ(world.task_state("t1"), model::v1::TASK_STATE_RUNNING);
}

TEST(Dispatcher, SendsEverythingFirstAndThenChanges) {
  World world;
  world.add_task("t1", "n1");
  world.add_task("t2", "n2");
  world.add_task("t3", "n1", model::v1::TASK_STATE_PENDING);
  const std::string session = world.open("n1");
  world.open_assignments(session);
  ASSERT_EQ(world.messages.size(), 1U);
  EXPECT_EQ(world.messages[0].type(), AssignmentsMessage::COMPLETE);
  ASSERT_EQ(world.messages[0].tasks_size(), 1);
  EXPECT_EQ(world.messages[0].tasks(0).id(), "t1");
  world.sent(session);

  Task stop = *world.store.view().get<Task>("t1");
  stop.set_desired_state(model::v1::TASK_STATE_SHUTDOWN);
  world.put(stop);
  world.add_task("t4", "n1");
  EXPECT_EQ(world.messages.size(), 1U) << "changes wait for their batch";
  world.advance(100ms);
  ASSERT_EQ(world.messages.size(), 2U);
  const auto& change = world.messages[1];
  EXPECT_EQ(change.type(), AssignmentsMessage::INCREMENTAL);
  EXPECT_EQ(change.applies_to(), world.messages[0].results_in());
  EXPECT_EQ(change.tasks_size(), 2);
  world.sent(session);

  store::Transaction removal;
  removal.remove(*world.store.view().get<Task>("t4"));
  ASSERT_TRUE(world.commit_directly(std::move(removal)));
  world.advance(1s);
  ASSERT_EQ(world.messages.size(), 3U);
  ASSERT_EQ(world.messages[2].removed_tasks_size(), 1);
  EXPECT_EQ(world.messages[2].removed_tasks(0), "t4");
}

TEST(Dispatcher, WhatTheNodeReportedItselfIsNotSentBack) {
  World world;
  world.add_task("t1", "n1");
  const std::string session = world.open("n1");
  world.open_assignments(session);
  world.sent(session);
  ASSERT_TRUE(world.report(session, "t1", model::v1::TASK_STATE_RUNNING, 1));
  world.settle();
  world.advance(1s);
  EXPECT_EQ(world.messages.size(), 1U);
}

TEST(Dispatcher, TheOrderOfMapsInBytesIsNoChange) {
  World world;
  Node node = *world.store.view().get<Node>("n1");
  world.add_task("t1", "n1");
  Task task = *world.store.view().get<Task>("t1");
  for (int i = 0; i < 20; ++i) {
    (*node.mutable_spec()->mutable_labels())["l" + std::to_string(i)] = "x";
    (*task.mutable_service_labels())["l" + std::to_string(i)] = "x";
  }
  world.put(node);
  world.put(task);
  const std::string session = world.open("n1");
  world.open_assignments(session);
  world.sent(session);
  const auto sessions = world.session_messages.size();
  for (int state = model::v1::TASK_STATE_ACCEPTED; state <= model::v1::TASK_STATE_RUNNING;
       state += 64) {
    ASSERT_TRUE(world.report(session, "t1", static_cast<model::v1::TaskState>(state), 1));
    world.settle();
    world.put(*world.store.view().get<Node>("n1"));
    world.advance(500ms);
  }
  EXPECT_EQ(world.messages.size(), 1U);
  EXPECT_EQ(world.session_messages.size(), sessions);
}

TEST(Dispatcher, ChangesGatherWhileTheStreamHasNoCredit) {
  World world;
  const std::string session = world.open("n1");
  world.open_assignments(session);
  for (int i = 0; i < 300; ++i) {
    world.add_task("t" + std::to_string(i), "n1");
  }
  world.advance(10s);
  EXPECT_EQ(world.messages.size(), 1U);
  world.sent(session);
  world.advance(1ms);
  ASSERT_EQ(world.messages.size(), 2U);
  EXPECT_EQ(world.messages[1].tasks_size(), 300);
}

TEST(Dispatcher, LargeAssignmentsAreSplitAndBelongTogether) {
  World world;
  for (int i = 0; i < 100; ++i) {
    Task task;
    task.set_id("t" + std::to_string(i));
    task.set_node_id("n1");
    task.mutable_status()->set_state(model::v1::TASK_STATE_ASSIGNED);
    task.mutable_spec()->mutable_container()->add_env(std::string(10'000, 'x'));
    world.put(task);
  }
  const std::string session = world.open("n1");
  world.open_assignments(session);
  ASSERT_GT(world.messages.size(), 5U);
  int tasks = 0;
  for (std::size_t i = 0; i < world.messages.size(); ++i) {
    const auto& message = world.messages[i];
    EXPECT_LT(message.ByteSizeLong(), 256U << 10);
    EXPECT_EQ(message.more(), i + 1 < world.messages.size());
    EXPECT_EQ(message.type(), AssignmentsMessage::COMPLETE);
    EXPECT_EQ(message.results_in(), world.messages[0].results_in());
    tasks += message.tasks_size();
  }
  EXPECT_EQ(tasks, 100);
}

TEST(Dispatcher, WhatIsLargerThanAChunkComesInFragments) {
  World world;
  model::v1::Config config;
  config.set_id("c1");
  config.mutable_spec()->set_data(std::string(model::kConfigBytesMax, 'c'));
  world.put(config);
  Task task;
  task.set_id("t1");
  task.set_node_id("n1");
  task.mutable_status()->set_state(model::v1::TASK_STATE_ASSIGNED);
  task.mutable_spec()->mutable_container()->add_configs()->set_id("c1");
  world.put(task);
  world.open_assignments(world.open("n1"));
  ASSERT_GT(world.messages.size(), 4U);
  EXPECT_EQ(world.messages[0].tasks_size(), 1);
  EXPECT_TRUE(world.messages[0].more()) << "the config belongs to it";
  std::string bytes;
  for (std::size_t i = 1; i < world.messages.size(); ++i) {
    const auto& part = world.messages[i];
    EXPECT_LE(part.ByteSizeLong(), rpc::kChunkMax);
    EXPECT_EQ(part.fragment_more(), i + 1 < world.messages.size());
    bytes += part.fragment();
  }
  AssignmentsMessage whole;
  ASSERT_TRUE(whole.ParseFromString(bytes));
  EXPECT_EQ(whole.results_in(), world.messages[0].results_in());
  EXPECT_FALSE(whole.more());
  ASSERT_EQ(whole.configs_size(), 1);
  EXPECT_EQ(whole.configs(0).spec().data(), config.spec().data());
}

TEST(Dispatcher, StatusesOnlyMoveForwardAndAreAnsweredWhenCommitted) {
  World world;
  world.add_task("t1", "n1");
  const std::string session = world.open("n1");
  ASSERT_TRUE(world.report(session, "t1", model::v1::TASK_STATE_RUNNING, 1));
  EXPECT_TRUE(world.replies.empty());
  world.settle();
  EXPECT_EQ(world.replies[1], "ok");
  EXPECT_EQ(world.task_state("t1"), model::v1::TASK_STATE_RUNNING);
  ASSERT_TRUE(world.report(session, "t1", model::v1::TASK_STATE_PREPARING, 2));
  world.settle();
  EXPECT_EQ(world.replies[2], "ok") << "old news are no error";
  EXPECT_EQ(world.task_state("t1"), model::v1::TASK_STATE_RUNNING);
  ASSERT_TRUE(world.report(session, "t1", model::v1::TASK_STATE_COMPLETE, 3));
  ASSERT_TRUE(world.report(session, "t1", model::v1::TASK_STATE_FAILED, 4));
  world.settle();
  EXPECT_EQ(world.task_state("t1"), model::v1::TASK_STATE_COMPLETE) << "a task ends once";
  ASSERT_TRUE(world.report(session, "gone", model::v1::TASK_STATE_RUNNING, 5));
  world.settle();
  EXPECT_EQ(world.replies[5], "ok");
}

TEST(Dispatcher, ANodeCannotSpeakForTasksOfAnother) {
  World world;
  world.add_task("t1", "n2");
  const std::string session = world.open("n1");
  const auto status = world.report(session, "t1", model::v1::TASK_STATE_FAILED, 1);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kPermissionDenied);
  const auto state = world.report(session, "t1", model::v1::TASK_STATE_ORPHANED, 1);
  ASSERT_FALSE(state);
}

TEST(Dispatcher, AConflictIsTriedAgainWithWhatIsThereNow) {
  World world;
  world.add_task("t1", "n1");
  const std::string session = world.open("n1");
  ASSERT_TRUE(world.report(session, "t1", model::v1::TASK_STATE_RUNNING, 1));
  // Meanwhile the orchestrator wants it stopped.
  Task stop = *world.store.view().get<Task>("t1");
  stop.set_desired_state(model::v1::TASK_STATE_SHUTDOWN);
  world.put(stop);
  world.settle();
  EXPECT_EQ(world.replies[1], "ok");
  EXPECT_EQ(world.task_state("t1"), model::v1::TASK_STATE_RUNNING);
  EXPECT_EQ(world.store.view().get<Task>("t1")->desired_state(), model::v1::TASK_STATE_SHUTDOWN);
}

TEST(Dispatcher, AFailedWriteIsAnsweredAndTriedAgainLater) {
  World world;
  world.add_task("t1", "n1");
  const std::string session = world.open("n1");
  ASSERT_TRUE(world.report(session, "t1", model::v1::TASK_STATE_RUNNING, 1));
  ASSERT_EQ(world.proposals.size(), 1U);
  world.proposals.clear();
  world.take(
      world.dispatcher->committed(Error{Code::kUnavailable, "no leader", "NO_LEADER"}, world.now));
  EXPECT_EQ(world.replies[1], "NO_LEADER");
  EXPECT_TRUE(world.proposals.empty());
  world.advance(1s);
  EXPECT_EQ(world.task_state("t1"), model::v1::TASK_STATE_RUNNING);
}

TEST(Dispatcher, ARemovedNodeLosesItsSession) {
  World world;
  const std::string session = world.open("n1");
  store::Transaction removal;
  removal.remove(*world.store.view().get<Node>("n1"));
  ASSERT_TRUE(world.commit_directly(std::move(removal)));
  EXPECT_EQ(world.ended[session], "NODE_REMOVED");
  EXPECT_EQ(world.dispatcher->sessions(), 0U);
  world.advance(48h);  // neither deadline nor orphan timer remembers it
}

TEST(Dispatcher, ANodeHearsOfChangesOfItsSpec) {
  World world;
  world.open("n1");
  const auto before = world.session_messages.size();
  Node node = *world.store.view().get<Node>("n1");
  node.mutable_spec()->set_availability(model::v1::AVAILABILITY_DRAIN);
  world.put(node);
  ASSERT_EQ(world.session_messages.size(), before + 1);
  EXPECT_EQ(world.session_messages.back().node().spec().availability(),
            model::v1::AVAILABILITY_DRAIN);
}

TEST(Dispatcher, SecretsGoOnlyWhereALiveTaskNamesThem) {
  World world;
  model::v1::Secret secret;
  secret.set_id("x1");
  secret.mutable_spec()->set_name("password");
  world.put(secret);
  Task task;
  task.set_id("t1");
  task.set_node_id("n1");
  task.mutable_status()->set_state(model::v1::TASK_STATE_ASSIGNED);
  task.mutable_spec()->mutable_container()->add_secrets()->set_id("x1");
  world.put(task);
  const std::string other = world.open("n2");
  world.open_assignments(other);
  EXPECT_EQ(world.messages.back().secrets_size(), 0);
  const std::string session = world.open("n1");
  world.open_assignments(session);
  ASSERT_EQ(world.messages.back().secrets_size(), 1);
  world.sent(session);
  ASSERT_TRUE(world.report(session, "t1", model::v1::TASK_STATE_FAILED, 1));
  world.settle();
  world.advance(1s);
  ASSERT_EQ(world.messages.back().removed_secrets_size(), 1);
}

}  // namespace
}  // namespace skep::control
