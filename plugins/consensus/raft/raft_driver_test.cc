#include "plugins/consensus/raft/raft_driver.h"

#include <gtest/gtest.h>

#include "skep/testing/manual_env.h"

namespace skep::raft {
namespace {

using namespace std::chrono_literals;
namespace v1 = consensus::v1;
namespace methods = consensus::v1::methods;

/// Plays the core: applies what is committed, answers on the loop, can refuse.
class FakeCore final : public rpc::Caller {
 public:
  explicit FakeCore(Loop& loop) : loop_(loop) {}
  rpc::CallId call(std::string target, std::string_view method, rpc::Body body, rpc::CallOptions,
                   rpc::OnReply on_reply) override {
    EXPECT_EQ(target, "core");
    loop_.post([this, method = std::string(method), body = std::move(body),
                on_reply = std::move(on_reply)] { on_reply(answer(method, body)); });
    return ++last_id_;
  }
  void cancel(rpc::CallId) override {}
  std::shared_ptr<rpc::ClientStream> open(std::string, std::string_view, rpc::Body, rpc::CallOptions,
                                          rpc::StreamHandlers) override {
    return nullptr;
  }

  std::vector<v1::Entry> applied;
  Index applied_index = 0;
  int refuse = 0;  ///< so many batches are answered with an error
  std::vector<v1::LeadershipRequest> leaderships;
  v1::MembersRequest members;
  int snapshots_wanted = 0;

 private:
  Result<rpc::Body> answer(const std::string& method, const rpc::Body& body) {
    if (method == methods::Committed::kName) {
      return on_committed(body);
    }
    if (method == methods::Leadership::kName) {
      leaderships.push_back(*rpc::parse<v1::LeadershipRequest>(body));
    } else if (method == methods::Members::kName) {
      members = *rpc::parse<v1::MembersRequest>(body);
    } else if (method == methods::SnapshotWanted::kName) {
      ++snapshots_wanted;
    }
    return rpc::Body();
  }
  Result<rpc::Body> on_committed(const rpc::Body& body) {
    if (refuse > 0) {
      --refuse;
      return Error{Code::kUnavailable, "the core is busy"};
    }
    const auto request = *rpc::parse<v1::CommittedRequest>(body);
    for (const auto& entry : request.entries()) {
      if (entry.index() <= applied_index) {
        continue;
      }
      EXPECT_EQ(entry.index(), applied_index + 1);
      applied_index = entry.index();
      applied.push_back(entry);
    }
    v1::CommittedResponse response;
    response.set_applied_index(applied_index);
    return response.SerializeAsString();
  }

  Loop& loop_;
  rpc::CallId last_id_ = 0;
};

/// One member with the core above it, over a disk that outlives it.
struct Fixture {
  explicit Fixture(testing::ManualEnv& world, FakeCore& core_of) : env(world), core(core_of) {
    start.set_state_dir("/state");
    (*start.mutable_config())["segment_kib"] = "16";
    (*start.mutable_config())["trailing_entries"] = "5";
    (*start.mutable_config())["snapshot_entries"] = "100";
    request.set_member_id(7);
    request.set_cluster_id("c1");
    auto& member = *request.add_bootstrap();
    member.set_id(7);
    member.set_node_id("n7");
    request.set_applied_index(core.applied_index);
  }
  Result<v1::StartResponse> open() {
    EXPECT_TRUE(driver.start({env.env, core, start}));
    return reopen();
  }
  Result<v1::StartResponse> reopen() {
    Result<v1::StartResponse> result = Error{Code::kInternal, "no answer"};
    driver.open(request, [&](Result<v1::StartResponse> reply) { result = std::move(reply); });
    env.loop.run_ready();
    return result;
  }
  void propose(const std::string& data, std::vector<Result<v1::ProposeResponse>>& replies) {
    v1::ProposeRequest propose_request;
    propose_request.set_data(data);
    driver.propose(propose_request, [&replies](Result<v1::ProposeResponse> reply) {
      replies.push_back(std::move(reply));
    });
  }
  /// Enough entries for several segments.
  void propose_150() {
    std::vector<Result<v1::ProposeResponse>> replies;
    for (int i = 0; i < 150; ++i) {
      propose(std::string(400, 'x'), replies);
      env.loop.run_ready();
    }
  }
  void say_safe(Index index) {
    v1::SnapshotAvailableRequest snapshot;
    snapshot.set_index(index);
    driver.snapshot_available(snapshot);
  }

  testing::ManualEnv& env;
  FakeCore& core;
  plugin::v1::StartRequest start;
  v1::StartRequest request;
  RaftDriver driver;
};

std::vector<std::string> data_of(const FakeCore& core) {
  std::vector<std::string> data;
  for (const auto& entry : core.applied) {
    if (!entry.data().empty()) {
      data.push_back(entry.data());
    }
  }
  return data;
}

TEST(RaftDriver, ASingleMemberLeadsAtOnceAndCommits) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  Fixture one(env, core);
  const auto opened = one.open();
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->members_size(), 1);
  ASSERT_FALSE(core.leaderships.empty());
  EXPECT_TRUE(core.leaderships.back().leader());
  EXPECT_EQ(core.leaderships.back().term(), 2U);
  std::vector<Result<v1::ProposeResponse>> replies;
  one.propose("a", replies);
  one.propose("b", replies);
  const auto syncs = one.driver.wal()->syncs();
  env.loop.run_ready();
  ASSERT_EQ(replies.size(), 2U);
  ASSERT_TRUE(replies[1]) << replies[1].error().message;
  EXPECT_EQ(replies[1]->index(), 4U);
  EXPECT_EQ(one.driver.wal()->syncs(), syncs + 1) << "what came together is one sync";
  EXPECT_EQ(data_of(core), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(one.driver.consensus_status().applied_index(), 4U);
}

TEST(RaftDriver, AnEntryIsDeliveredOnlyAfterItsSync) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  Fixture one(env, core);
  ASSERT_TRUE(one.open());
  std::vector<Result<v1::ProposeResponse>> replies;
  one.propose("a", replies);
  env.disk.fail_call(2, {Code::kInternal, "sync: Input/output error"});  // write, then sync
  env.loop.run_ready();
  ASSERT_EQ(replies.size(), 1U);
  ASSERT_FALSE(replies[0]);
  EXPECT_EQ(replies[0].error().reason, "LOG_POISONED");
  EXPECT_TRUE(data_of(core).empty());
  EXPECT_FALSE(core.leaderships.back().leader());
  one.propose("b", replies);
  EXPECT_EQ(replies.back().error().reason, "LOG_POISONED") << "never tried again";
  EXPECT_FALSE(one.driver.status().healthy());
  EXPECT_FALSE(one.reopen());
}

TEST(RaftDriver, ARestartDeliversWhatTheCoreHasNotSynced) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  std::vector<Result<v1::ProposeResponse>> replies;
  {
    Fixture one(env, core);
    ASSERT_TRUE(one.open());
    for (int i = 0; i < 50; ++i) {
      one.propose(std::string(500, static_cast<char>('a' + i % 26)), replies);
      env.loop.run_ready();
    }
    one.driver.stop();
  }
  env.loop.clear();
  const auto before = data_of(core);
  ASSERT_EQ(before.size(), 50U);
  FakeCore again(env.loop);
  again.applied_index = 20;
  Fixture two(env, again);
  two.request.clear_bootstrap();
  const auto opened = two.open();
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(data_of(again), std::vector(before.begin() + 18, before.end()));
  EXPECT_EQ(again.leaderships.back().term(), 3U);
}

TEST(RaftDriver, SendsAgainFromTheLastAcknowledgement) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  Fixture one(env, core);
  core.refuse = 7;
  ASSERT_TRUE(one.open());
  std::vector<Result<v1::ProposeResponse>> replies;
  for (int i = 0; i < 20; ++i) {
    one.propose("x" + std::to_string(i), replies);
    env.loop.run_ready();
  }
  env.loop.advance(10s);
  EXPECT_EQ(data_of(core).size(), 20U);
  EXPECT_EQ(core.refuse, 0);
}

TEST(RaftDriver, ReadBarrierWaitsForTheFirstCommitOfTheTerm) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  Fixture one(env, core);
  EXPECT_TRUE(one.driver.start({env.env, core, one.start}));
  one.driver.open(one.request, [](const auto&) {});
  Result<v1::ReadBarrierResponse> barrier = Error{Code::kInternal, "no answer"};
  one.driver.read_barrier([&](Result<v1::ReadBarrierResponse> reply) { barrier = std::move(reply); });
  env.loop.run_ready();
  if (!barrier) {
    EXPECT_EQ(barrier.error().reason, "NOT_LEADER");
    one.driver.read_barrier([&](Result<v1::ReadBarrierResponse> reply) { barrier = std::move(reply); });
    env.loop.run_ready();
  }
  ASSERT_TRUE(barrier) << barrier.error().message;
  EXPECT_EQ(barrier->index(), 2U);
}

TEST(RaftDriver, AFullDiskRefusesChangesAndHealsByItself) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  Fixture one(env, core);
  ASSERT_TRUE(one.open());
  env.disk.set_capacity(17 * 1024);
  std::vector<Result<v1::ProposeResponse>> replies;
  for (int i = 0; i < 30; ++i) {
    one.propose(std::string(900, 'x'), replies);
    env.loop.run_ready();
  }
  ASSERT_EQ(replies.size(), 30U);
  ASSERT_FALSE(replies.back());
  EXPECT_EQ(replies.back().error().code, Code::kResourceExhausted);
  const auto accepted = static_cast<std::size_t>(
      std::count_if(replies.begin(), replies.end(), [](const auto& reply) { return reply.has_value(); }));
  EXPECT_EQ(data_of(core).size(), accepted);
  env.disk.set_capacity(1 << 20);
  one.propose("again", replies);
  env.loop.run_ready();
  EXPECT_TRUE(replies.back());
  EXPECT_EQ(data_of(core).back(), "again");
}

TEST(RaftDriver, RefusesALogThatDoesNotFitTheState) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  {
    Fixture one(env, core);
    ASSERT_TRUE(one.open());
  }
  env.loop.clear();
  core.applied_index = 1000;
  Fixture lost(env, core);
  EXPECT_EQ(lost.open().error().code, Code::kDataLoss);
  core.applied_index = 0;
  Fixture other(env, core);
  other.request.set_cluster_id("c2");
  EXPECT_EQ(other.open().error().reason, "WRONG_CLUSTER");
}

TEST(RaftDriver, CompactsBelowTheSnapshotAndAsksForOne) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  Fixture one(env, core);
  ASSERT_TRUE(one.open());
  one.propose_150();
  EXPECT_EQ(core.snapshots_wanted, 1);
  const auto segments = one.driver.wal()->segment_count();
  one.say_safe(140);
  EXPECT_EQ(one.driver.wal()->first_index(), 136U);
  EXPECT_LT(one.driver.wal()->segment_count(), segments);
  one.driver.stop();
  env.loop.clear();
  Fixture two(env, core);
  const auto opened = two.open();
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->members_size(), 1);
}

TEST(RaftDriver, CompactsLaterWhatItWasToldOfTooEarly) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  Fixture one(env, core);
  ASSERT_TRUE(one.open());
  one.say_safe(140);
  EXPECT_EQ(one.driver.wal()->first_index(), 1U);
  one.propose_150();
  EXPECT_GT(one.driver.wal()->first_index(), 100U);
  EXPECT_LE(one.driver.wal()->first_index(), 136U);
}

TEST(RaftDriver, ACoreThatStartsAnewMayHaveLostItsState) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  Fixture one(env, core);
  ASSERT_TRUE(one.open());
  one.say_safe(140);
  ASSERT_TRUE(one.reopen());
  one.propose_150();
  EXPECT_EQ(one.driver.wal()->first_index(), 1U);
}

TEST(RaftDriver, ALogThatIsOnlyMadeSurvivesAPowerLossAndVotesForNobody) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  {
    Fixture one(env, core);
    one.request.set_only_make(true);
    const auto made = one.open();
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->members_size(), 1);
    EXPECT_EQ(made->last_index(), 1U);
    EXPECT_EQ(one.driver.raft(), nullptr);
    env.loop.advance(60s);
    EXPECT_TRUE(core.leaderships.empty());
    std::vector<Result<v1::ProposeResponse>> replies;
    one.propose("a", replies);
    EXPECT_EQ(replies.at(0).error().reason, "LOG_NOT_OPEN");
    ASSERT_TRUE(one.reopen()) << "again is allowed";
  }
  env.loop.clear();
  env.disk.crash(env.random);
  Fixture two(env, core);
  two.request.clear_bootstrap();
  two.request.set_must_exist(true);
  const auto opened = two.open();
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->members_size(), 1);
  EXPECT_TRUE(core.leaderships.back().leader());
}

TEST(RaftDriver, AMemberThatJoinsHasALogBeforeItHoldsAnything) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  Fixture one(env, core);
  one.request.clear_bootstrap();
  one.request.set_only_make(true);
  const auto made = one.open();
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->members_size(), 0);
  env.disk.crash(env.random);
  one.request.set_only_make(false);
  one.request.set_must_exist(true);
  EXPECT_TRUE(one.reopen());
  EXPECT_EQ(one.driver.raft()->log().last_index(), 0U);
}

TEST(RaftDriver, ALogThatWasLostIsNotBegunAnew) {
  for (const char* remove : {"/state/log", "/state/log/0000000000000001.wal"}) {
    testing::ManualEnv env;
    FakeCore core(env.loop);
    {
      Fixture one(env, core);
      ASSERT_TRUE(one.open());
    }
    env.loop.clear();
    ASSERT_TRUE(env.disk.remove_tree(remove));
    core.applied_index = 0;  // The state may be lost as well: no other check would see it.
    core.leaderships.clear();
    Fixture lost(env, core);
    lost.request.set_must_exist(true);
    for (const bool recover : {false, true, false}) {
      lost.request.set_recover(recover);
      const auto refused = recover ? lost.reopen() : lost.open();
      ASSERT_FALSE(refused) << "a vote of before is forgotten";
      EXPECT_EQ(refused.error().code, Code::kDataLoss);
      EXPECT_EQ(refused.error().reason, "LOG_LOST");
      for (const char* says : {"/state/log", "member 7", "node demote", "node promote", "backup restore", "--force-new-cluster"}) {
        EXPECT_NE(refused.error().message.find(says), std::string::npos) << says;
      }
    }
    env.loop.advance(60s);
    EXPECT_TRUE(core.leaderships.empty());
  }
}

TEST(RaftDriver, AStateThatNobodyHasIsNotReplacedByHalfOfTheLog) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  {
    Fixture one(env, core);
    ASSERT_TRUE(one.open());
    one.propose_150();
    one.say_safe(140);
    one.driver.stop();
  }
  env.loop.clear();
  FakeCore empty(env.loop);
  Fixture two(env, empty);
  two.request.set_must_exist(true);
  const auto refused = two.open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "STATE_LOST");
  EXPECT_NE(refused.error().message.find("manager.db"), std::string::npos);
  EXPECT_NE(refused.error().message.find("backup restore --replace"), std::string::npos);
}

TEST(RaftDriver, AStateThatIsFetchedMayBeAheadOfTheLogAfterACrash) {
  testing::ManualEnv env;
  {
    WalOptions options;
    options.directory = "/state/log";
    options.cluster = "c1";
    options.member = 7;
    const auto wal = Wal::open(env.disk, std::move(options));
    ASSERT_TRUE(wal) << wal.error().message;
    std::vector<Entry> entries;
    for (Index index = 1; index <= 90; ++index) {
      entries.push_back({.index = index, .term = 1, .kind = EntryKind::kNormal, .data = {}});
    }
    ASSERT_TRUE((*wal)->append(entries, HardState{1, kNobody, 80}));
    SnapshotMark mark{.index = 60, .term = 1, .membership = {}};
    mark.membership.members = {{7, "n7", "n7:2377", false}, {8, "n8", "n8:2377", false}};
    ASSERT_TRUE((*wal)->set_mark(mark));
  }
  FakeCore core(env.loop);
  core.applied_index = 100;
  Fixture old_copy(env, core);
  EXPECT_EQ(old_copy.open().error().code, Code::kDataLoss);
  env.loop.clear();
  core.applied_index = 0;  // The state is damaged, the others have it.
  {
    Fixture one(env, core);
    ASSERT_TRUE(one.open());
  }
  env.loop.clear();
  core.applied_index = 100;  // It was fetched, and the agent died before the entries followed.
  Fixture two(env, core);
  const auto opened = two.open();
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(two.driver.raft()->log().last_index(), 90U);
  EXPECT_EQ(two.driver.raft()->log().committed(), 80U) << "the leader may replace those above";
  two.say_safe(100);
  EXPECT_EQ(two.driver.wal()->first_index(), 76U);
  two.driver.stop();
  env.loop.clear();
  Fixture three(env, core);
  const auto compacted = three.open();
  ASSERT_TRUE(compacted) << "the entries did not follow yet: " << compacted.error().message;
  three.driver.stop();
  env.loop.clear();
  core.applied_index = 85;
  Fixture other(env, core);
  other.request.set_applied_term(2);  // of an entry that took the place of the one here
  const auto again = other.open();
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(other.driver.raft()->log().committed(), 80U);
}

TEST(RaftDriver, ALeaderOfOneNeedsNoTicks) {
  testing::ManualEnv env;
  FakeCore core(env.loop);
  Fixture one(env, core);
  ASSERT_TRUE(one.open());
  EXPECT_EQ(env.loop.pending(), 0U);
}

}  // namespace
}  // namespace skep::raft
