#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster_rig.h"
#include "core/control/managers/role_manager.h"

namespace skep::control {
namespace {

namespace methods = control::v1::methods;
using model::v1::NODE_ROLE_MANAGER;
using model::v1::NODE_ROLE_WORKER;

TEST(Members, ManagersJoinAndVoteOnceTheyHaveCaughtUp) {
  Cluster cluster(1);
  cluster.init();
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(
        cluster.ask<methods::CreateService>("n1", Cluster::service("s" + std::to_string(i))));
  }
  cluster.join("n2", "n1");
  // Whoever counts managers before he takes one away must not count one that has no vote yet.
  control::v1::GetNodeRequest joiner;
  joiner.set_ref("n2");
  ASSERT_EQ(cluster.voters(), 1U);
  EXPECT_EQ(cluster.ask<methods::GetNode>("n1", joiner)->node().manager_status().reachability(), 0U);
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.voters() == 2; }, 10s));
  const auto two = cluster.ask<methods::GetCluster>("n1", {});
  ASSERT_TRUE(two);
  EXPECT_EQ(two->warnings_size(), 1);
  cluster.join("n3", "n2");  // asked at a follower
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.voters() == 3; }, 10s));
  EXPECT_TRUE(cluster.agree());
  EXPECT_EQ(cluster.view("n3").all<model::v1::Service>().size(), 50U);
  cluster.loop.advance(2s);
  const auto nodes = cluster.ask<methods::ListNodes>("n3", {});
  ASSERT_TRUE(nodes);
  EXPECT_EQ(nodes->nodes_size(), 3);
  for (const auto& node : nodes->nodes()) {
    EXPECT_EQ(node.manager_status().reachability(), 2U) << node.id();
    EXPECT_EQ(node.manager_status().leader(), node.id() == "n1");
  }
  cluster.kill("n1");
  const std::string next = cluster.wait_leader();
  EXPECT_NE(next, "n1");
  cluster.loop.advance(3s);
  control::v1::GetNodeRequest get;
  get.set_ref("n1");
  EXPECT_EQ(cluster.ask<methods::GetNode>(next, get)->node().manager_status().reachability(), 1U);
}

TEST(Members, OnlyNodesThatAreToBeManagersJoin) {
  Cluster cluster(1);
  cluster.init();
  cluster.put(Cluster::node_object("w1", NODE_ROLE_WORKER));
  const auto reason = [&](const std::string& id, const bus::v1::Principal& as) {
    const auto answer = cluster.ask_to_join(id, "n1", as);
    return answer ? std::string("ok") : answer.error().reason;
  };
  EXPECT_EQ(reason("w1", who("node", "w1", "manager")), "NOT_PROMOTED");
  EXPECT_EQ(reason("w1", who("node", "w1", "worker")), "NOT_A_MANAGER");
  EXPECT_EQ(reason("w1", who("node", "w2", "manager")), "NOT_THIS_NODE");
  EXPECT_EQ(reason("w9", who("node", "w9", "manager")), "NODE_UNKNOWN");
  EXPECT_EQ(cluster.manager("n1").consensus().members().size(), 1U);
}

TEST(Members, ANodeThatTheManagersDoNotReachIsNotTakenIn) {
  Cluster cluster(3);
  cluster.init();
  cluster.put(Cluster::node_object("n4", NODE_ROLE_MANAGER));
  cluster.deaf.insert("n4");
  for (const std::string& via : {cluster.leader(), cluster.follower()}) {
    const auto refused = cluster.ask_to_join("n4", via, who("node", "n4", "manager"));
    ASSERT_FALSE(refused) << via;
    EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
    EXPECT_EQ(refused.error().reason, "ADDRESS_UNREACHABLE");
    EXPECT_THAT(refused.error().message,
                ::testing::AllOf(::testing::HasSubstr("'n4' at n4:2377 (no connection)"),
                                 ::testing::HasSubstr("firewall"), ::testing::HasSubstr("--advertise-addr")));
  }
  EXPECT_EQ(cluster.manager(cluster.leader()).consensus().members().size(), 3U);
  cluster.deaf.clear();
  EXPECT_TRUE(cluster.ask_to_join("n4", cluster.follower(), who("node", "n4", "manager")));
  // One that is cut off answers nobody in time.
  cluster.put(Cluster::node_object("n5", NODE_ROLE_MANAGER));
  cluster.cut.insert({cluster.leader(), "n5"});
  const auto late = cluster.ask_to_join("n5", cluster.follower(), who("node", "n5", "manager"));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().reason, "ADDRESS_UNREACHABLE");
}

TEST(Members, ANodeThatAsksAgainGetsANewId) {
  Cluster cluster(1);
  cluster.init();
  cluster.put(Cluster::node_object("n2", NODE_ROLE_MANAGER));
  const auto first = cluster.ask_to_join("n2", "n1", who("node", "n2", "manager"));
  const auto second = cluster.ask_to_join("n2", "n1", who("node", "n2", "manager"));
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->member_id(), second->member_id());
  EXPECT_EQ(cluster.manager("n1").consensus().members().size(), 2U);
}

std::string third(Cluster& cluster, const std::string& not_this) {
  for (auto& [id, node] : cluster.nodes) {
    if (id != not_this && id != cluster.leader()) {
      return id;
    }
  }
  return "";
}

TEST(Members, ADemotedFollowerLeavesTheLogAndCanBeRemoved) {
  Cluster cluster(3);
  cluster.init();
  const std::string follower = cluster.follower();
  EXPECT_EQ(cluster.remove_node(cluster.leader(), follower, true).error().reason,
            "NODE_IS_MANAGER");
  ASSERT_TRUE(cluster.set_role(cluster.leader(), follower, NODE_ROLE_WORKER));
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.nodes.at(follower)->removed; }, 15s));
  EXPECT_EQ(cluster.voters(), 2U);
  EXPECT_FALSE(cluster.manager(cluster.leader()).is_manager(follower));
  const std::string other = third(cluster, follower);
  EXPECT_TRUE(cluster.manager(cluster.leader()).is_manager(other));
  EXPECT_EQ(cluster.remove_node(cluster.leader(), follower, false).error().reason, "NODE_NOT_DOWN");
  EXPECT_TRUE(cluster.remove_node(cluster.leader(), follower, true));
  EXPECT_EQ(cluster.view(cluster.leader()).get<model::v1::Node>(follower), nullptr);
  EXPECT_TRUE(cluster.nodes.at(cluster.leader())->peers->refused().contains(follower));
  // A manager that starts anew knows it from its state.
  EXPECT_TRUE(cluster.agree());
  cluster.kill(other);
  cluster.start(other);
  EXPECT_TRUE(cluster.agree());
  EXPECT_TRUE(cluster.nodes.at(other)->peers->refused().contains(follower));
}

TEST(Members, RemovedNodesAreForgottenWhenTheirCertificatesAreOver) {
  Cluster cluster(1);
  cluster.init();
  cluster.put(Cluster::node_object("w1", NODE_ROLE_WORKER));
  cluster.put(Cluster::node_object("w2", NODE_ROLE_WORKER));
  ASSERT_TRUE(cluster.remove_node("n1", "w1", true));
  EXPECT_EQ(cluster.nodes.at("n1")->peers->refused(), (std::set<std::string>{"w1"}));
  cluster.loop.advance(std::chrono::hours(24 * 91));
  ASSERT_TRUE(cluster.remove_node("n1", "w2", true));
  EXPECT_EQ(cluster.nodes.at("n1")->peers->refused(), (std::set<std::string>{"w2"}));
}

TEST(Members, OneRemovalForgetsNoMoreThanAChangeMayHold) {
  Cluster cluster(1);
  cluster.init();
  cluster.put(Cluster::node_object("w1", NODE_ROLE_WORKER));
  cluster.put(Cluster::node_object("w2", NODE_ROLE_WORKER));
  for (int i = 0; i < 250; ++i) {
    model::v1::RemovedNode gone;
    gone.set_id("gone" + std::to_string(i));
    gone.set_certificates_until(1);
    cluster.put(gone);
  }
  ASSERT_TRUE(cluster.remove_node("n1", "w1", true));
  EXPECT_EQ(cluster.view("n1").all<model::v1::RemovedNode>().size(), 151U);
  ASSERT_TRUE(cluster.remove_node("n1", "w2", true));
  EXPECT_EQ(cluster.view("n1").all<model::v1::RemovedNode>().size(), 52U);
}

TEST(Members, DemotingTheLeaderHandsOverFirst) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Cluster cluster(3, seed);
    cluster.init();
    const std::string old = cluster.leader();
    const std::uint64_t term = cluster.manager(old).consensus().term();
    ASSERT_TRUE(cluster.set_role(cluster.follower(), old, NODE_ROLE_WORKER));
    EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.nodes.at(old)->removed; }, 15s))
        << seed;
    const std::string next = cluster.wait_leader();
    EXPECT_NE(next, old);
    EXPECT_EQ(cluster.manager(next).consensus().term(), term + 1) << "one election, no silence";
    EXPECT_EQ(cluster.voters(), 2U);
    EXPECT_TRUE(cluster.ask<methods::CreateService>(next, Cluster::service("after")));
  }
}

TEST(Members, ALeaderThatStopsHandsOverFirst) {
  Cluster cluster(3);
  cluster.init();
  const std::string old = cluster.leader();
  bool done = false;
  const TimePoint since = cluster.loop.now();
  cluster.manager(old).hand_over([&] { done = true; });
  EXPECT_TRUE(cluster.loop.run_until([&] { return done && !cluster.leader().empty(); }, 5s));
  EXPECT_LT(cluster.loop.now() - since, 500ms) << "no silence is waited for";
  EXPECT_NE(cluster.leader(), old);
  done = false;
  cluster.manager(old).hand_over([&] { done = true; });
  EXPECT_TRUE(done) << "who does not lead has nothing to hand over";
}

TEST(Members, AManagerThatIsBehindHearsTheLeaderThatItKnowsAsDemoted) {
  Cluster cluster(4);
  cluster.init();
  const std::string leader = cluster.leader();
  const std::string again = cluster.follower();
  const std::string behind = third(cluster, again);
  ASSERT_TRUE(cluster.set_role(leader, again, NODE_ROLE_WORKER));
  ASSERT_TRUE(cluster.loop.run_until(
      [&] { return cluster.nodes.at(again)->removed && !cluster.manager(behind).is_manager(again); }, 15s));
  EXPECT_FALSE(cluster.manager(behind).is_manager(again, consensus::v1::methods::Deliver::kName)) << "another leads";
  cluster.isolate(behind);
  ASSERT_TRUE(cluster.set_role(leader, again, NODE_ROLE_MANAGER));
  const auto answer = cluster.ask_to_join(again, leader, who("node", again, "manager"));
  ASSERT_TRUE(answer) << answer.error().message;
  cluster.nodes.at(again)->wipe(answer->member_id());
  cluster.nodes.at(again)->join_members.assign(answer->members().begin(), answer->members().end());
  cluster.start(again);
  ASSERT_TRUE(cluster.loop.run_until([&] { return cluster.voters() == 4; }, 15s));
  for (const auto& [id, node] : cluster.nodes) {
    if (id != leader && id != again && id != behind) {
      ASSERT_TRUE(cluster.set_role(leader, id, NODE_ROLE_WORKER));
      ASSERT_TRUE(cluster.loop.run_until([&] { return node->removed; }, 15s));
      cluster.kill(id);
    }
  }
  // The two that are left need each other.
  cluster.kill(leader);
  cluster.isolate(behind, false);
  ASSERT_TRUE(cluster.loop.run_until([&] { return cluster.leader() == again; }, 30s));
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.manager(behind).is_manager(again); }, 10s));
  EXPECT_TRUE(cluster.ask<methods::CreateService>(again, Cluster::service("after")));
}

TEST(Members, NobodyIsDemotedBelowTheQuorum) {
  Cluster cluster(3);
  cluster.init();
  const std::string dead = cluster.follower();
  cluster.kill(dead);
  cluster.loop.advance(5s);
  const std::string leader = cluster.leader();
  const std::string alive = cluster.follower();
  const auto refused = cluster.set_role(leader, alive, NODE_ROLE_WORKER);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "QUORUM_AT_RISK") << refused.error().message;
  EXPECT_EQ(cluster.set_role(leader, leader, NODE_ROLE_WORKER).error().reason, "QUORUM_AT_RISK");
  ASSERT_TRUE(cluster.set_role(leader, dead, NODE_ROLE_WORKER)) << "the dead one may go";
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.voters() == 2; }, 10s));
  // It comes back, hears of nobody, asks, and ends.
  cluster.start(dead);
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.nodes.at(dead)->removed; }, 60s));
  EXPECT_EQ(cluster.leader(), leader) << "who was removed disturbs nobody";
}

TEST(Members, TheLastManagerStays) {
  Cluster cluster(1);
  cluster.init();
  const auto refused = cluster.set_role("n1", "n1", NODE_ROLE_WORKER);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "LAST_MANAGER") << refused.error().message;
}

TEST(Members, OfTwoDemotionsAtOnceOneIsRefusedWhenNobodyWouldBeLeft) {
  Cluster cluster(2);
  cluster.init();
  const std::string leader = cluster.leader();
  std::vector<Status> answers;
  for (const char* id : {"n1", "n2"}) {
    const auto node = cluster.view(leader).get<model::v1::Node>(id);
    control::v1::UpdateNodeRequest update;
    update.set_ref(id);
    update.set_version(node->meta().version());
    *update.mutable_spec() = node->spec();
    update.mutable_spec()->set_role(NODE_ROLE_WORKER);
    rpc::call<methods::UpdateNode>(*cluster.nodes.at(leader)->user, "core", update, {.deadline = 10s},
                                   [&](const auto& answer) { answers.push_back(answer ? ok() : Status(answer.error())); });
  }
  ASSERT_TRUE(cluster.loop.run_until([&] { return answers.size() == 2; }, 15s));
  ASSERT_NE(answers[0].has_value(), answers[1].has_value());
  EXPECT_EQ((answers[0] ? answers[1] : answers[0]).error().reason, "LAST_MANAGER");
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.voters() == 1; }, 15s));
  EXPECT_NE(cluster.wait_leader(), "");
}

TEST(Members, GrowsToSevenAndShrinksToOneUnderLoad) {
  Cluster cluster(1);
  cluster.init();
  int made = 0;
  const auto load = [&] {
    const auto answer = cluster.ask<methods::CreateService>(
        cluster.wait_leader(), Cluster::service("s" + std::to_string(made)));
    made += answer ? 1 : 0;
  };
  for (int i = 2; i <= 7; ++i) {
    cluster.join("n" + std::to_string(i), cluster.wait_leader());
    load();
    EXPECT_TRUE(cluster.loop.run_until(
        [&] { return cluster.voters() == static_cast<std::size_t>(i); }, 20s));
    load();
  }
  EXPECT_TRUE(cluster.agree());
  for (std::size_t left = 6; left >= 1; --left) {
    const std::string victim = cluster.wait_leader();
    ASSERT_TRUE(cluster.set_role(victim, victim, NODE_ROLE_WORKER));
    EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.nodes.at(victim)->removed; }, 30s))
        << left;
    load();
    EXPECT_EQ(cluster.voters(), left);
  }
  EXPECT_EQ(cluster.view(cluster.wait_leader()).all<model::v1::Service>().size(),
            static_cast<std::size_t>(made));
  EXPECT_GE(made, 15);
}

TEST(RoleManager, WarnsAboutTheNumberOfManagers) {
  EXPECT_TRUE(manager_count_warnings(1).empty());
  EXPECT_EQ(manager_count_warnings(2).size(), 1U);
  EXPECT_TRUE(manager_count_warnings(3).empty());
  EXPECT_EQ(manager_count_warnings(4).size(), 1U);
  EXPECT_TRUE(manager_count_warnings(7).empty());
  EXPECT_EQ(manager_count_warnings(8).size(), 1U);
  EXPECT_EQ(manager_count_warnings(9).size(), 1U);
}

}  // namespace
}  // namespace skep::control
