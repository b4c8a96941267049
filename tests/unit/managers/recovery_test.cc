// A swarm that lost its quorum goes on from one manager, and the others cannot disturb it.

#include <gtest/gtest.h>

#include "cluster_rig.h"
#include "core/control/recovery/incarnation.h"
#include "core/store/sealed_backend.h"
#include "skep/consensus.methods.h"

namespace skep::control {
namespace {

namespace methods = control::v1::methods;
using model::v1::NODE_ROLE_MANAGER;
using model::v1::NODE_ROLE_WORKER;

constexpr std::uint64_t kNewMember = 4'711;
constexpr std::uint64_t kNewIncarnation = 5;

/// As agentd does it, without the files.
void recover(Cluster& cluster, const std::string& id) {
  auto& node = *cluster.nodes.at(id);
  bool read_out = false;
  cluster.tune = [&](const std::string& started, ManagerConfig& config,
                     Manager::Handlers& handlers) {
    if (started == id) {
      config.recover = true;
      handlers.on_read_out = [&] { read_out = true; };
    }
  };
  cluster.kill(id);
  cluster.start(id);
  ASSERT_TRUE(cluster.loop.run_until([&] { return read_out; }, 10s)) << node.fatal;
  EXPECT_FALSE(node.manager->leading());
  Status saved = Error{Code::kInternal, "no answer"};
  node.manager->stop([&](const Status& status) { saved = status; });
  ASSERT_TRUE(cluster.loop.run_until([&] { return saved.has_value(); }, 10s));
  cluster.kill(id);
  Incarnation wanted;
  wanted.cluster_id = "c1";
  wanted.node_id = id;
  wanted.member_id = kNewMember;
  wanted.address = id + ":2377";
  store::SealedBackend sealed(node.backend, cluster.sealer, node.process.random);
  const Status applied = apply_incarnation(sealed, wanted);
  ASSERT_TRUE(applied) << applied.error().message;
  ASSERT_TRUE(node.process.disk.remove_tree("/raft"));
  node.log_made = false;
  node.member_id = kNewMember;
  cluster.tune = [id](const std::string& started, ManagerConfig& config, Manager::Handlers&) {
    if (started == id) {
      config.incarnation = kNewIncarnation;
      config.begins_at_state = true;
      consensus::v1::Member self;
      self.set_id(kNewMember);
      self.set_node_id(id);
      self.set_address(id + ":2377");
      config.bootstrap = {self};
    }
  };
  node.step_ups = 0;
  cluster.start(id);
  ASSERT_TRUE(cluster.loop.run_until([&] { return node.manager->leading(); }, 10s)) << node.fatal;
}

std::vector<std::string> ids(int count) {
  std::vector<std::string> names;
  for (int i = 1; i <= count; ++i) {
    names.push_back("n" + std::to_string(i));
  }
  return names;
}

class Lost : public ::testing::TestWithParam<int> {};

TEST_P(Lost, TheLastManagerGoesOnAndTheOthersBecomeWorkersWhenTheyReturn) {
  const int count = GetParam();
  Cluster cluster(count);
  cluster.init();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(
        cluster.ask<methods::CreateService>("n1", Cluster::service("s" + std::to_string(i))));
  }
  ASSERT_TRUE(cluster.agree());
  const std::uint64_t before = cluster.manager("n1").store().applied_index();
  for (const auto& id : ids(count)) {
    if (id != "n1") {
      cluster.kill(id);
    }
  }
  recover(cluster, "n1");
  const auto& manager = cluster.manager("n1");
  EXPECT_EQ(manager.consensus().members().size(), 1U);
  EXPECT_EQ(manager.store().view().all<model::v1::Service>().size(), 20U);
  EXPECT_GT(manager.store().applied_index(), before + kIncarnationIndexGap)
      << "no version is given twice";
  for (const auto& [id, node] : manager.store().view().all<model::v1::Node>()) {
    EXPECT_EQ(node->spec().role(), id == "n1" ? NODE_ROLE_MANAGER : NODE_ROLE_WORKER) << id;
  }
  ASSERT_TRUE(cluster.ask<methods::CreateService>("n1", Cluster::service("after")));
  // The others return with their old log, and have a quorum among themselves.
  for (const auto& id : ids(count)) {
    if (id != "n1") {
      cluster.start(id);
    }
  }
  EXPECT_TRUE(cluster.loop.run_until(
      [&] {
        bool all = true;
        for (const auto& id : ids(count)) {
          all = all && (id == "n1" || cluster.nodes.at(id)->removed);
          if (cluster.nodes.at(id)->removed) {
            cluster.kill(id);  // agentd closes the log; as one of two it may lead at this moment
          }
        }
        return all;
      },
      120s));
  EXPECT_TRUE(manager.leading());
  EXPECT_EQ(cluster.nodes.at("n1")->step_ups, 1) << "nobody disturbed it";
  EXPECT_EQ(manager.consensus().members().size(), 1U);
  EXPECT_EQ(manager.store().view().all<model::v1::Service>().size(), 21U);
  // It survives a restart like any other.
  cluster.kill("n1");
  cluster.start("n1");
  EXPECT_TRUE(cluster.loop.run_until([&] { return cluster.manager("n1").leading(); }, 10s))
      << cluster.nodes.at("n1")->fatal;
  EXPECT_EQ(cluster.view("n1").all<model::v1::Service>().size(), 21U);
}

INSTANTIATE_TEST_SUITE_P(Recovery, Lost, ::testing::Values(3, 5));

TEST(Recovery, LateNewsOfTheLogThatWasOpenBeforeDoNotEndTheReading) {
  Cluster cluster(3);
  cluster.init();
  ASSERT_TRUE(cluster.agree());
  for (const auto& id : ids(3)) {
    cluster.kill(id);
  }
  // The manager was just starting when its swarm was made anew: what the driver says of the members
  // when it opened the log as usual comes to the manager that only reads it.
  rpc::MethodTable none;
  bool told = false;
  cluster.on_start = [&](const std::string& id, Cluster::Node&) {
    if (std::exchange(told, true)) {
      return;
    }
    consensus::v1::MembersRequest news;
    for (std::uint64_t member = 1; member <= 3; ++member) {
      news.add_members()->set_id(member);
    }
    auto& driver = cluster.bus.attach(id + "/late", id, {}, none, who("plugin", "raft"));
    rpc::call<consensus::v1::methods::Members>(driver, "core", news, {}, [](const auto& heard) {
      EXPECT_TRUE(heard) << heard.error().message;
    });
  };
  recover(cluster, "n1");
  EXPECT_FALSE(cluster.nodes.at("n1")->removed);
}

TEST(Recovery, WhatWasNotKnownToBeCommittedIsKept) {
  Cluster cluster(3);
  cluster.init();
  ASSERT_TRUE(cluster.agree());
  const std::string leader = cluster.wait_leader();
  cluster.isolate(leader);
  // In the log of the leader only: whether the others had it before they were lost is not known to
  // it.
  store::Transaction transaction;
  model::v1::Service service;
  service.set_id("late");
  service.mutable_spec()->set_name("late");
  transaction.put(service);
  cluster.manager(leader).proposer().propose(std::move(transaction), [](const auto&) {});
  cluster.loop.advance(300ms);
  for (const auto& id : ids(3)) {
    if (id != leader) {
      cluster.kill(id);
    }
  }
  cluster.isolate(leader, false);
  recover(cluster, leader);
  EXPECT_NE(cluster.view(leader).get<model::v1::Service>("late"), nullptr);
}

TEST(Recovery, WhoIsAMemberIsAnsweredForTheSameIncarnationOnly) {
  Cluster cluster(1);
  cluster.init();
  cluster.kill("n1");
  recover(cluster, "n1");
  rpc::MethodTable none;
  auto& caller = cluster.bus.attach("n9/ask", "n9", {}, none, who("node", "n9", "worker"));
  const auto check = [&](std::uint64_t member, std::uint64_t incarnation) {
    manager::v1::CheckMemberRequest request;
    request.set_member_id(member);
    request.set_incarnation(incarnation);
    std::string answer;
    rpc::call<manager::v1::methods::CheckMember>(
        caller, "n1/core", request, {}, [&](const auto& reply) {
          answer = !reply ? reply.error().reason : reply->member() ? "member" : "none";
        });
    EXPECT_TRUE(cluster.loop.run_until([&] { return !answer.empty(); }, 10s));
    return answer;
  };
  EXPECT_EQ(check(kNewMember, kNewIncarnation), "member");
  EXPECT_EQ(check(1, kNewIncarnation), "none");
  EXPECT_EQ(check(kNewMember, 0), "none") << "of an older incarnation, whatever its id";
  EXPECT_EQ(check(kNewMember, kNewIncarnation + 1), "OLD_INCARNATION");
}

TEST(Recovery, AStateOfAnotherSwarmOrOfNoneIsRefused) {
  store::LoadedState state;
  Incarnation wanted;
  wanted.cluster_id = "c1";
  wanted.node_id = "n1";
  EXPECT_EQ(new_incarnation(state, wanted).error().reason, "NO_CLUSTER_STATE");
  model::v1::Cluster other;
  other.set_id("c2");
  store::StoredRow row;
  row.table = static_cast<std::uint32_t>(store::Table::kCluster);
  row.id = "c2";
  row.object.set_object(other.SerializeAsString());
  state.rows.push_back(row);
  EXPECT_EQ(new_incarnation(state, wanted).error().reason, "WRONG_CLUSTER");
  wanted.cluster_id = "c2";
  const auto batch = new_incarnation(state, wanted);
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->rows.size(), 1U) << "a node that the state does not know is made";
  store::MemoryBackend backend;
  EXPECT_EQ(apply_incarnation(backend, wanted).error().reason, "NO_CLUSTER_STATE");
}

TEST(Recovery, IncarnationsRiseAlsoWhenTheClockGoesBack) {
  EXPECT_EQ(next_incarnation(0, 1'000), 1'000U);
  EXPECT_EQ(next_incarnation(1'000, 5), 1'001U);
  EXPECT_EQ(next_incarnation(0, -5), 1U);
}

}  // namespace
}  // namespace skep::control
