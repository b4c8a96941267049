// A manager whose log is gone takes part in nothing under its old id, and comes back under a new one.

#include <gtest/gtest.h>

#include "cluster_rig.h"

namespace skep::control {
namespace {

namespace methods = control::v1::methods;
using model::v1::NODE_ROLE_MANAGER;
using model::v1::NODE_ROLE_WORKER;

bool has_service(Cluster& cluster, const std::string& at, const std::string& name) {
  const auto& services = cluster.view(at).all<model::v1::Service>();
  return std::any_of(services.begin(), services.end(),
                     [&](const auto& one) { return one.second->spec().name() == name; });
}

/// Its machine loses log and, so that no other check helps, state.
void lose_all(Cluster& cluster, const std::string& id) {
  cluster.kill(id);
  cluster.nodes.at(id)->lose_log();
  cluster.nodes.at(id)->backend = std::make_shared<store::MemoryBackend>();
}

TEST(LostLog, WhatWasAcknowledgedIsNotForgottenByAVoterWithAnEmptyLog) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Cluster cluster(3, seed);
    cluster.init();
    ASSERT_TRUE(cluster.agree());
    const std::string first = cluster.leader();
    std::vector<std::string> others;
    for (const auto& [id, node] : cluster.nodes) {
      if (id != first) {
        others.push_back(id);
      }
    }
    const std::string& voter = others[0];
    const std::string& cut_off = others[1];
    cluster.isolate(cut_off);
    ASSERT_TRUE(cluster.ask<methods::CreateService>(first, Cluster::service("kept"))) << seed;
    // One of the two that hold it is away, the other loses it: nobody may decide without the first.
    cluster.kill(first);
    lose_all(cluster, voter);
    cluster.start(voter);
    cluster.isolate(cut_off, false);
    cluster.loop.advance(60s);
    EXPECT_EQ(cluster.leader(), "") << "the voter forgot what it acknowledged, seed " << seed;
    ASSERT_NE(cluster.manager(voter).failure(), nullptr);
    EXPECT_EQ(cluster.manager(voter).failure()->reason, "LOG_LOST");
    EXPECT_NE(cluster.nodes.at(voter)->fatal.find("node demote"), std::string::npos);
    cluster.start(first);
    ASSERT_NE(cluster.wait_leader(30s), "");
    EXPECT_TRUE(has_service(cluster, cluster.leader(), "kept")) << seed;
  }
}

TEST(LostLog, TheOthersGoOnAndAfterDemotionAndPromotionItIsAManagerAgain) {
  Cluster cluster(3);
  cluster.init();
  const std::string lost = cluster.follower();
  auto& node = *cluster.nodes.at(lost);
  lose_all(cluster, lost);
  cluster.start(lost);
  ASSERT_TRUE(cluster.ask<methods::CreateService>(cluster.wait_leader(), Cluster::service("meanwhile")));
  ASSERT_NE(node.fatal, "");
  const auto refused = cluster.ask<methods::ListServices>(lost, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "LOG_LOST") << "whoever asks it is told why";
  // A restart changes nothing.
  cluster.kill(lost);
  cluster.start(lost);
  cluster.loop.advance(5s);
  EXPECT_EQ(cluster.manager(lost).failure()->reason, "LOG_LOST");
  const std::uint64_t before = node.member_id;
  const std::string leader = cluster.wait_leader();
  ASSERT_TRUE(cluster.set_role(leader, lost, NODE_ROLE_WORKER));
  ASSERT_TRUE(cluster.loop.run_until([&] { return cluster.voters() == 2; }, 20s));
  ASSERT_TRUE(cluster.set_role(leader, lost, NODE_ROLE_MANAGER));
  const auto answer = cluster.ask_to_join(lost, leader, who("node", lost, "manager"));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_NE(answer->member_id(), before);
  node.wipe(answer->member_id());
  node.join_members.assign(answer->members().begin(), answer->members().end());
  cluster.start(lost);
  ASSERT_TRUE(cluster.loop.run_until([&] { return cluster.voters() == 3; }, 20s)) << node.fatal;
  EXPECT_TRUE(node.log_made);
  EXPECT_TRUE(cluster.agree());
  EXPECT_TRUE(has_service(cluster, lost, "meanwhile"));
}

TEST(LostLog, AManagerThatNeverNotedItsLogGoesOnAndNotesIt) {
  Cluster cluster(3);
  cluster.init();
  const std::string old = cluster.follower();
  cluster.kill(old);
  cluster.nodes.at(old)->log_made = false;  // swarm.pb of an earlier version
  cluster.start(old);
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.nodes.at(old)->log_made; }, 10s));
  EXPECT_TRUE(cluster.agree());
  EXPECT_EQ(cluster.voters(), 3U);
  EXPECT_TRUE(cluster.manager(old).consensus().is_open());
}

TEST(LostLog, ThereIsNothingToRecoverFromIt) {
  Cluster cluster(1);
  cluster.init();
  lose_all(cluster, "n1");
  bool read_out = false;
  cluster.tune = [&](const std::string&, ManagerConfig& config, Manager::Handlers& handlers) {
    config.recover = true;
    config.log_made = false;  // whatever was noted
    handlers.on_read_out = [&] { read_out = true; };
  };
  cluster.start("n1");
  cluster.loop.advance(10s);
  EXPECT_FALSE(read_out);
  ASSERT_NE(cluster.manager("n1").failure(), nullptr);
  EXPECT_EQ(cluster.manager("n1").failure()->reason, "LOG_LOST");
}

}  // namespace
}  // namespace skep::control
