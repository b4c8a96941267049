// A manager that was off while the others demoted it and removed its node: they refuse it, and it learns why.

#include <gtest/gtest.h>

#include "cluster_rig.h"

namespace skep::control {
namespace {

using model::v1::NODE_ROLE_WORKER;

/// `id` is off, demoted by the others and removed from the swarm; those of `off` are stopped then.
void remove_while_off(Cluster& cluster, const std::string& id, const std::set<std::string>& off = {}) {
  cluster.kill(id);
  const std::string leader = cluster.wait_leader();
  ASSERT_TRUE(cluster.set_role(leader, id, NODE_ROLE_WORKER));
  ASSERT_TRUE(cluster.loop.run_until([&] { return !cluster.manager(leader).is_manager(id); }, 20s));
  ASSERT_TRUE(cluster.remove_node(leader, id, true));
  cluster.loop.advance(1s);
  for (const auto& other : off) {
    cluster.kill(other);
  }
}

std::string follower_of(Cluster& cluster) {
  cluster.init();
  EXPECT_TRUE(cluster.agree());
  cluster.wait_leader();
  return cluster.follower();
}

std::set<std::string> others_of(const Cluster& cluster, const std::string& id) {
  std::set<std::string> others;
  for (const auto& [other, node] : cluster.nodes) {
    if (other != id) {
      others.insert(other);
    }
  }
  return others;
}

TEST(RemovedManager, BelievesAMajorityOfTheManagersItKnows) {
  Cluster cluster(3);
  const std::string removed = follower_of(cluster);
  remove_while_off(cluster, removed);
  cluster.start(removed);
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.nodes.at(removed)->removed; }, 20s));
  EXPECT_EQ(cluster.nodes.at(removed)->fatal, "");
  EXPECT_EQ(cluster.voters(), 2U);
}

TEST(RemovedManager, NeverBelievesOne) {
  Cluster cluster(3);
  const std::string removed = follower_of(cluster);
  const std::string off = *others_of(cluster, removed).begin();
  remove_while_off(cluster, removed, {off});
  cluster.start(removed);
  cluster.loop.advance(5min);
  EXPECT_FALSE(cluster.nodes.at(removed)->removed);
  EXPECT_EQ(cluster.nodes.at(removed)->fatal, "");
  cluster.start(off);
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.nodes.at(removed)->removed; }, 30s));
}

TEST(RemovedManager, AMajorityOfFiveAreThree) {
  Cluster cluster(5);
  const std::string removed = follower_of(cluster);
  const auto others = others_of(cluster, removed);
  remove_while_off(cluster, removed, {*others.begin(), *std::next(others.begin())});
  cluster.start(removed);
  cluster.loop.advance(2min);
  EXPECT_FALSE(cluster.nodes.at(removed)->removed) << "two of five";
  cluster.start(*others.begin());
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.nodes.at(removed)->removed; }, 30s));
}

TEST(RemovedManager, RefusalsOfAnOlderIncarnationOrOfStrangersSayNothing) {
  Cluster cluster(0);
  cluster.tune = [](const std::string&, ManagerConfig& config, Manager::Handlers&) { config.incarnation = 7; };
  cluster.start_members(3);
  cluster.init();
  ASSERT_TRUE(cluster.agree());
  const std::string asked = cluster.follower();
  const auto others = others_of(cluster, asked);
  const std::string& one = *others.begin();
  const std::string& other = *others.rbegin();
  Manager& manager = cluster.manager(asked);
  const auto heard = [&](const std::string& by, std::uint64_t incarnation) {
    manager.refused_by(by, incarnation);
    cluster.loop.advance(1s);
    return cluster.nodes.at(asked)->removed;
  };
  EXPECT_FALSE(heard(one, 6));
  EXPECT_FALSE(heard(other, 6)) << "they were restored from before this incarnation";
  EXPECT_FALSE(heard(one, 7));
  EXPECT_FALSE(heard(one, 7)) << "the same again is still one";
  EXPECT_FALSE(heard("n9", 7)) << "nobody that the log knows";
  cluster.loop.advance(31s);
  EXPECT_FALSE(heard(other, 7)) << "what was said long ago does not count";
  EXPECT_TRUE(heard(one, 8)) << "a newer incarnation counts";
}

}  // namespace
}  // namespace skep::control
