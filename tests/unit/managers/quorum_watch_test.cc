#include "core/control/managers/quorum_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster_rig.h"

namespace skep::control {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint64_t kSelf = 1;

/// Managers h1 (this one) to hN, of which one may be a learner.
class QuorumWatchTest : public ::testing::Test {
 protected:
  void members_are(int count, int learner = 0) {
    members.clear();
    for (int i = 1; i <= count; ++i) {
      auto& member = members.emplace_back();
      member.set_id(static_cast<std::uint64_t>(i));
      member.set_node_id("n" + std::to_string(i));
      member.set_address("10.0.0." + std::to_string(i) + ":2377");
      member.set_learner(i == learner);
    }
  }
  QuorumWatch::Picture picture() {
    return {.members = members,
            .name_of = [](const std::string& id) { return "h" + id.substr(1); },
            .now = now,
            .wall_now = 1'700'000'000'000'000'000 + (now - TimePoint{}).count()};  // 2023-11-14 22:13:20
  }
  std::string trouble() { return watch.trouble(picture()); }
  /// They talk to this manager as in an election.
  void vote(std::uint64_t member) {
    watch.took(member, ok(), now);
    watch.heard(member, now);
  }
  void refuse(std::uint64_t member, const std::string& cause) {
    watch.took(member, Error{Code::kUnavailable, cause, "NODE_UNREACHABLE"}, now);
  }

  std::vector<consensus::v1::Member> members;
  TimePoint now{};
  QuorumWatch watch{kSelf, now};
};

TEST_F(QuorumWatchTest, AnElectionIsNoTroubleALongOneIs) {
  members_are(3);
  EXPECT_EQ(trouble(), "");
  now += QuorumWatch::kElection;
  EXPECT_NE(trouble(), "");
  watch.leader_changed(2, now);
  EXPECT_EQ(trouble(), "");
  now += 1h;
  EXPECT_EQ(trouble(), "") << "somebody leads";
  watch.leader_changed(0, now);
  EXPECT_EQ(trouble(), "");
  now += QuorumWatch::kElection - 1ms;
  watch.leader_changed(0, now);
  EXPECT_EQ(trouble(), "");
  now += 1ms;
  EXPECT_NE(trouble(), "") << "hearing of nobody again does not begin anew";
}

TEST_F(QuorumWatchTest, NamesWhoIsNotReachedSinceWhenAndWhy) {
  members_are(3);
  watch.leader_changed(2, now);
  now += 40s;
  refuse(2, "node 'n2' at 10.0.0.2:2377 cannot be reached: Connection refused");
  watch.leader_changed(0, now);
  now += 5s;
  refuse(2, "node 'n2' at 10.0.0.2:2377 cannot be reached: Connection refused");
  EXPECT_EQ(trouble(),
            "the swarm has no leader now: 2 of 3 votes are needed, and this manager reaches 1, its own; it does not "
            "reach 'h2' at 10.0.0.2:2377 since 2023-11-14 22:14:00 UTC (Connection refused), 'h3' at 10.0.0.3:2377 "
            "since 2023-11-14 22:14:00 UTC (no answer); start these managers or mend the network between them; if they "
            "are lost for good, run 'agentctl swarm init --force-new-cluster' on one that is left (docs/recovery.md)");
}

TEST_F(QuorumWatchTest, OneThatAnswersButDoesNotVoteIsNoVote) {
  members_are(3);
  watch.leader_changed(0, now);
  now += 5s;
  watch.took(2, ok(), now);  // its agent runs, its log does not
  watch.took(3, Error{Code::kFailedPrecondition, "Swarm is encrypted and needs to be unlocked", "LOCKED"}, now);
  watch.heard(3, now - 4s);
  EXPECT_THAT(trouble(), AllOf(HasSubstr("reaches 1, its own"), HasSubstr("'h2' at 10.0.0.2:2377"),
                               HasSubstr("its log is silent"), HasSubstr("(Swarm is encrypted")));
}

TEST_F(QuorumWatchTest, WithAMajorityReachedItDoesNotTellToRecover) {
  members_are(3);
  now += 5s;
  vote(2);
  EXPECT_THAT(trouble(), AllOf(HasSubstr("2 of 3 votes are needed, and this manager reaches 2 with its own"),
                               HasSubstr("'h3'"), HasSubstr("have not agreed"), Not(HasSubstr("force-new-cluster"))));
  now += QuorumWatch::kHeardFor;
  EXPECT_THAT(trouble(), AllOf(HasSubstr("reaches 1, its own"), HasSubstr("force-new-cluster")))
      << "who was silent for long counts no more";
}

TEST_F(QuorumWatchTest, LearnersHaveNoVote) {
  members_are(4, 4);
  EXPECT_EQ(count_votes(members), 3U);
  now += 5s;
  EXPECT_THAT(trouble(), AllOf(HasSubstr("2 of 3 votes"), Not(HasSubstr("'h4'"))));
  members_are(3, 1);
  EXPECT_THAT(trouble(), HasSubstr("no vote of its own yet"));
}

TEST_F(QuorumWatchTest, TheOwnLogIsNamedWithItsCause) {
  members_are(3);
  watch.leader_changed(2, now);
  now += 5s;
  auto at = picture();
  at.log_failed = "sync: Input/output error";
  EXPECT_THAT(watch.trouble(at), AllOf(HasSubstr("this manager takes no part"), HasSubstr("Input/output error")));
  at.log_stalled = "no space left on device";
  EXPECT_THAT(watch.trouble(at), AllOf(HasSubstr("can store nothing now: no space left"), HasSubstr("free space")));
  auto closed = picture();
  closed.log_closed = "nobody answers 'consensus/raft'";
  EXPECT_THAT(watch.trouble(closed), HasSubstr("its log is not open: nobody answers"));
}

// ---- with real managers

std::string health_of(Cluster& cluster, const std::string& id) {
  std::string told = "?";
  cluster.manager(id).health([&](std::string trouble) { told = std::move(trouble); });
  cluster.loop.run_until([&] { return told != "?"; }, 5s);
  return told;
}

TEST(SwarmHealth, AManagerWithoutAQuorumSaysWhomItMissesUntilTheyAreBack) {
  Cluster cluster(3);
  cluster.init();
  for (const auto& [id, node] : cluster.nodes) {
    EXPECT_EQ(health_of(cluster, id), "") << id;
  }
  const std::string first = cluster.leader();
  cluster.kill(first);
  const std::string second = cluster.wait_leader();
  cluster.loop.advance(5s);
  EXPECT_EQ(health_of(cluster, second), "") << "two of three are a majority";
  cluster.kill(second);
  const std::string last = cluster.follower();
  cluster.loop.advance(8s);
  EXPECT_THAT(health_of(cluster, last),
              AllOf(HasSubstr("2 of 3 votes are needed, and this manager reaches 1, its own"),
                    HasSubstr("'host-" + first + "' at " + first + ":2377 since "),
                    HasSubstr("'host-" + second + "' at " + second + ":2377 since "), HasSubstr("(no connection)"),
                    HasSubstr("force-new-cluster")));
  cluster.start(first);
  cluster.wait_leader();
  cluster.loop.advance(1s);
  EXPECT_EQ(health_of(cluster, last), "");
  EXPECT_EQ(health_of(cluster, first), "");
}

TEST(SwarmHealth, OneWhoseNetworkSwallowsEverythingSaysSoToo) {
  Cluster cluster(3);
  cluster.init();
  const std::string cut = cluster.leader();
  cluster.isolate(cut);
  cluster.loop.advance(20s);
  EXPECT_THAT(health_of(cluster, cut), HasSubstr("reaches 1, its own"));
  EXPECT_EQ(health_of(cluster, cluster.wait_leader()), "");
  cluster.isolate(cut, false);
  cluster.loop.advance(10s);
  EXPECT_EQ(health_of(cluster, cut), "");
}

TEST(SwarmHealth, AFailedLogIsNamedOnItsManagerAndByTheOthers) {
  Cluster cluster(3);
  cluster.init();
  const std::string sick = cluster.follower();
  cluster.nodes.at(sick)->process.disk.fail_call(1, Error{Code::kInternal, "write: Input/output error"});
  ASSERT_TRUE(cluster.ask<control::v1::methods::CreateService>(cluster.leader(), Cluster::service("web")));
  cluster.loop.advance(1s);
  EXPECT_THAT(health_of(cluster, sick),
              AllOf(HasSubstr("this manager takes no part"), HasSubstr("Input/output error")));
  const auto refused = cluster.ask<control::v1::methods::ListNodes>(sick, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "NO_LEADER");
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("the swarm has no leader now"), HasSubstr("Input/output")));
  cluster.kill(cluster.leader());
  cluster.loop.advance(20s);
  for (const auto& [id, node] : cluster.nodes) {
    if (id != sick && node->manager != nullptr) {
      EXPECT_THAT(health_of(cluster, id), AllOf(HasSubstr("'host-" + sick + "'"), HasSubstr("its log is silent")));
    }
  }
}

TEST(SwarmHealth, AFullDiskIsNamedUntilThereIsRoom) {
  Cluster cluster(1);
  cluster.init();
  auto& disk = cluster.nodes.at("n1")->process.disk;
  disk.set_capacity(UINT64_MAX - *disk.free_bytes("/"));  // what it holds now
  std::string reason;
  for (int i = 0; i < 30 && reason.empty(); ++i) {  // until the segment that is made already is full
    auto request = Cluster::service("s" + std::to_string(i));
    (*request.mutable_spec()->mutable_labels())["filler"] = std::string(100'000, 'x');
    const auto made = cluster.ask<control::v1::methods::CreateService>("n1", request);
    reason = made ? "" : made.error().reason;
  }
  EXPECT_EQ(reason, "DISK_FULL");
  EXPECT_THAT(health_of(cluster, "n1"), AllOf(HasSubstr("can store nothing now: "), HasSubstr("free space")));
  disk.set_capacity(UINT64_MAX);
  cluster.loop.advance(5s);
  EXPECT_EQ(health_of(cluster, "n1"), "");
}

TEST(SwarmHealth, WarningsCountVotesAndNotRoles) {
  Cluster cluster(1);
  cluster.init();
  cluster.put(Cluster::node_object("n3", model::v1::NODE_ROLE_MANAGER));  // promoted, not taken in
  EXPECT_EQ(cluster.manager("n1").votes(), 1U);
  const auto told = cluster.ask<control::v1::methods::GetCluster>("n1", {});
  ASSERT_TRUE(told);
  EXPECT_EQ(told->managers(), 2U);
  EXPECT_EQ(told->warnings_size(), 0);
  cluster.join("n2", "n1");
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.manager("n1").votes() == 2; }, 10s));
  EXPECT_EQ(cluster.ask<control::v1::methods::GetCluster>("n1", {})->warnings_size(), 1);
}

}  // namespace
}  // namespace skep::control
