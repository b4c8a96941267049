#include "core/node/session_state.h"
#include "tests/unit/node/world.h"

namespace skep::node::testing {
namespace {

using dispatch::v1::AssignmentsMessage;
using model::v1::TASK_STATE_FAILED;
using model::v1::TASK_STATE_RUNNING;
using model::v1::TASK_STATE_SHUTDOWN;

AssignmentsMessage message(AssignmentsMessage::Type type, const std::string& applies_to,
                           const std::string& results_in, const std::string& task,
                           bool more = false) {
  AssignmentsMessage result;
  result.set_type(type);
  result.set_applies_to(applies_to);
  result.set_results_in(results_in);
  result.add_tasks()->set_id(task);
  result.set_more(more);
  return result;
}

TEST(BackOff, GrowsFrom100msTo8sWithFullJitter) {
  skep::testing::SeededRandom random(7);
  BackOff back_off;
  Duration longest{0};
  for (int i = 0; i < 200; ++i) {
    const Duration delay = back_off.next(random);
    EXPECT_LE(delay, i == 0 ? Duration(100ms) : Duration(8s));
    longest = std::max(longest, delay);
  }
  EXPECT_GT(longest, Duration(6s));
  back_off.reset();
  EXPECT_LE(back_off.next(random), Duration(100ms));
}

TEST(AssignmentTracker, PutsPartsTogetherAndFollowsTheSequence) {
  AssignmentTracker tracker;
  const auto first = tracker.take(message(AssignmentsMessage::COMPLETE, "", "1", "a", true));
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->has_value());
  const auto whole = tracker.take(message(AssignmentsMessage::COMPLETE, "", "1", "b"));
  ASSERT_TRUE(whole && whole->has_value());
  EXPECT_TRUE((**whole).complete);
  EXPECT_EQ((**whole).tasks.size(), 2U);
  const auto next = tracker.take(message(AssignmentsMessage::INCREMENTAL, "1", "2", "c"));
  ASSERT_TRUE(next && next->has_value());
  EXPECT_FALSE((**next).complete);
  const auto gap = tracker.take(message(AssignmentsMessage::INCREMENTAL, "3", "4", "d"));
  ASSERT_FALSE(gap);
  EXPECT_EQ(gap.error().code, Code::kConflict);
}

TEST(AssignmentTracker, RefusesPartsThatDoNotBelongTogether) {
  AssignmentTracker tracker;
  ASSERT_TRUE(tracker.take(message(AssignmentsMessage::COMPLETE, "", "1", "a", true)));
  EXPECT_FALSE(tracker.take(message(AssignmentsMessage::COMPLETE, "", "2", "b")));
  tracker.reset();
  EXPECT_TRUE(tracker.take(message(AssignmentsMessage::COMPLETE, "", "2", "b")));
}

TEST(AssignmentTracker, PutsFragmentsTogether) {
  const auto fragments = [](const AssignmentsMessage& whole) {
    const std::string bytes = whole.SerializeAsString();
    std::vector<AssignmentsMessage> parts(3);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::size_t third = bytes.size() / 3;
      parts[i].set_fragment(bytes.substr(i * third, i == 2 ? std::string::npos : third));
      parts[i].set_fragment_more(i < 2);
    }
    return parts;
  };
  const auto parts = fragments(message(AssignmentsMessage::COMPLETE, "", "1", std::string(900, 'b')));
  AssignmentTracker tracker;
  ASSERT_TRUE(tracker.take(message(AssignmentsMessage::COMPLETE, "", "1", "a", true)));
  EXPECT_FALSE((*tracker.take(parts[0])).has_value());
  EXPECT_FALSE((*tracker.take(parts[1])).has_value());
  const auto whole = tracker.take(parts[2]);
  ASSERT_TRUE(whole && whole->has_value());
  EXPECT_EQ((**whole).tasks.size(), 2U);

  tracker.reset();
  ASSERT_TRUE(tracker.take(parts[0]));
  EXPECT_FALSE(tracker.take(message(AssignmentsMessage::COMPLETE, "", "1", "b"))) << "the rest is missing";
  tracker.reset();
  ASSERT_TRUE(tracker.take(parts[0]));
  EXPECT_FALSE(tracker.take(parts[2])) << "the middle is missing";
  tracker.reset();
  AssignmentsMessage endless;
  endless.set_fragment(std::string(1 << 20, 'x'));
  endless.set_fragment_more(true);
  bool refused = false;
  for (int i = 0; i < 9; ++i) {
    refused = !tracker.take(endless);
  }
  EXPECT_TRUE(refused) << "a manager cannot fill the node's memory";
}

TEST(StatusQueue, KeepsTheLatestStatusUntilItIsAcknowledged) {
  StatusQueue queue;
  model::v1::TaskStatus status;
  status.set_state(model::v1::TASK_STATE_PREPARING);
  queue.note("t1", status);
  const auto sent = queue.batch(10);
  status.set_state(TASK_STATE_RUNNING);
  queue.note("t1", status);
  queue.acknowledge(sent);
  ASSERT_EQ(queue.batch(10).size(), 1U) << "a newer status stays";
  EXPECT_EQ(queue.batch(10)[0].status().state(), TASK_STATE_RUNNING);
  queue.note("t2", status);
  EXPECT_EQ(queue.batch(1).size(), 1U);
  queue.acknowledge(queue.batch(10));
  EXPECT_TRUE(queue.empty());
}

TEST(StatusQueue, ABatchFitsAMessageHoweverMuchDriversSay) {
  StatusQueue queue;
  model::v1::TaskStatus status;
  status.set_error(std::string(60'000, 'x'));
  for (int i = 0; i < 500; ++i) {
    queue.note("t" + std::to_string(i), status);
  }
  int batches = 0;
  while (!queue.empty()) {
    const auto sent = queue.batch(500);
    ASSERT_FALSE(sent.empty());
    ASSERT_LE(sent.size(), StatusQueue::kBatchBytes / 60'000 + 1);
    queue.acknowledge(sent);
    ++batches;
  }
  EXPECT_GE(batches, 25);
  queue.note("t1", status);
  queue.note("t2", status);
  queue.keep([](const std::string& id) { return id == "t2"; });
  ASSERT_EQ(queue.batch(500).size(), 1U);
  EXPECT_EQ(queue.batch(500)[0].task_id(), "t2");
}

class SessionTest : public ::testing::Test, public World {
 public:
  SessionTest() { start_agent(); }
};

TEST_F(SessionTest, RegistersWithItsDescriptionAndSendsHeartbeats) {
  env.loop.advance(31s);
  EXPECT_EQ(manager.sessions, 1);
  EXPECT_EQ(manager.heartbeats, 6);
  EXPECT_TRUE(agent->counters().session);
  ASSERT_EQ(manager.descriptions.size(), 1U) << "nothing changed, nothing is sent again";
  const auto& description = manager.descriptions[0];
  EXPECT_EQ(description.hostname(), "node1");
  EXPECT_EQ(description.platform().architecture(), "x86_64");
  EXPECT_EQ(description.resources().nano_cpus(), 4'000'000'000);
  EXPECT_EQ(description.engine().drivers_size(), 3);
  EXPECT_EQ(description.engine().drivers(0), "network/bridge");
}

TEST_F(SessionTest, AShorterHeartbeatPeriodHoldsAtOnce) {
  env.loop.advance(1s);
  manager.set_period(1s);
  env.loop.advance(500ms);
  EXPECT_EQ(manager.heartbeats, 1) << "not after the 5 s that it began";
  env.loop.advance(3s);
  EXPECT_GE(manager.heartbeats, 3);
  manager.set_period(10s);
  env.loop.advance(2s);
  const int before = manager.heartbeats;
  env.loop.advance(30s);
  EXPECT_EQ(manager.heartbeats, before + 3);
}

TEST_F(SessionTest, TellsChangesOfItsDescription) {
  env.loop.advance(1s);
  take_down("volume/local");
  env.loop.advance(1s);
  ASSERT_EQ(manager.descriptions.size(), 2U) << "a driver that went away is told at once";
  EXPECT_EQ(manager.descriptions[1].engine().drivers_size(), 2);
  facts.name = "renamed";
  env.loop.advance(21s);
  ASSERT_EQ(manager.descriptions.size(), 3U) << "other changes within 20 s";
  EXPECT_EQ(manager.descriptions[2].hostname(), "renamed");
}

TEST_F(SessionTest, TellsItsDescriptionAgainWhenAnAnswerWasLost) {
  env.loop.advance(1s);
  manager.loses_answers = true;
  take_down("volume/local");
  env.loop.advance(1s);
  manager.loses_answers = false;
  bring_up("volume/local");
  env.loop.advance(21s);
  // It is what was acknowledged last, but the managers may believe what came after.
  EXPECT_EQ(manager.descriptions.back().engine().drivers_size(), 3);
}

TEST_F(SessionTest, ComesBackAfterALeaderChangeWithoutTouchingTasks) {
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  manager.change_leader();
  env.loop.advance(15s);
  EXPECT_EQ(manager.sessions, 2);
  EXPECT_EQ(runtime.running(), 1U);
  EXPECT_EQ(runtime.faults.calls("start"), 1);
  desire("t1", TASK_STATE_SHUTDOWN);
  EXPECT_TRUE(reaches("t1", TASK_STATE_SHUTDOWN));
}

TEST_F(SessionTest, BacksOffWhileNoManagerAnswers) {
  manager.refuse(Error{Code::kUnavailable, "no leader"});
  int tries = 0;
  bus.delivered = [&](const auto& frame) {
    tries += frame.method == "dispatch/1/session" && frame.type == bus::v1::REQUEST ? 1 : 0;
  };
  env.loop.advance(600s);
  EXPECT_GT(tries, 60) << "full jitter: 4 s on average";
  EXPECT_LT(tries, 400);
  manager.resume();
  env.loop.advance(9s);
  EXPECT_TRUE(agent->counters().session);
}

TEST_F(SessionTest, ASessionThatComesUpEndsTheBackingOff) {
  for (int round = 0; round < 8; ++round) {
    manager.refuse(Error{Code::kUnavailable, "no leader"});
    env.loop.advance(300s);  // up to 8 s between two tries
    bus.lose = [](const auto& frame) { return frame.method == "dispatch/1/assignments"; };
    manager.resume();
    ASSERT_TRUE(env.loop.run_until([&] { return agent->counters().session; }, 9s));
    const int before = manager.sessions;
    manager.refuse(Error{Code::kUnavailable, "another leader"});
    manager.resume();
    env.loop.advance(150ms);
    EXPECT_GT(manager.sessions, before) << "it came up, though without assignments";
  }
}

TEST_F(SessionTest, GivesUpASessionWhoseHeartbeatsAreLost) {
  env.loop.advance(1s);
  bus.lose = [](const auto& frame) { return frame.target == "core"; };
  env.loop.advance(60s);
  EXPECT_FALSE(agent->counters().session);
  EXPECT_GE(silences, 3) << "whoever knows other managers must be told to ask them";
  bus.lose = nullptr;
  env.loop.advance(15s);
  EXPECT_TRUE(agent->counters().session);
}

TEST_F(SessionTest, AsksAgainForEverythingAfterAGap) {
  env.loop.advance(1s);
  EXPECT_EQ(manager.completes, 1);
  manager.skip_sequence();
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  EXPECT_EQ(manager.completes, 2);
}

TEST_F(SessionTest, SendsStatusesAgainUntilTheyAreTaken) {
  assign(task("t1"));
  ASSERT_TRUE(reaches("t1", TASK_STATE_RUNNING));
  bus.lose = [](const auto& frame) { return frame.method == "dispatch/1/update_task_status"; };
  runtime.end_container(container("t1")->info.container_id(), 4);
  env.loop.advance(5s);
  EXPECT_EQ(state_of("t1"), TASK_STATE_RUNNING);
  bus.lose = nullptr;
  EXPECT_TRUE(reaches("t1", TASK_STATE_FAILED, 60s));
}

TEST_F(SessionTest, PutsManyStatusesIntoFewMessages) {
  for (int i = 0; i < 200; ++i) {
    assign(task("t" + std::to_string(i)));
  }
  bus.latency = [](const auto& frame) { return frame.target == "core" ? 50ms : 0ms; };
  env.loop.advance(10s);
  EXPECT_EQ(runtime.running(), 200U);
  EXPECT_LT(manager.updates, 40);
}

TEST_F(SessionTest, TellsManagersThatItRestarts) {
  env.loop.advance(1s);
  bool told = false;
  agent->announce(Farewell::kWillBeBack, [&] { told = true; });
  env.loop.advance(10ms);
  EXPECT_TRUE(told);
  EXPECT_TRUE(manager.restarting);
  bus.lose = [](const auto& frame) { return frame.target == "core"; };
  told = false;
  agent->announce(Farewell::kWillBeBack, [&] { told = true; });
  env.loop.advance(1s);
  EXPECT_TRUE(told) << "within a second, answered or not";
}

}  // namespace
}  // namespace skep::node::testing
