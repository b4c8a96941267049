#include "core/control/manager.h"

#include <gtest/gtest.h>

#include "rig.h"
#include "skep/control.methods.h"

namespace skep::control {
namespace {

namespace methods = control::v1::methods;

v1::CreateServiceRequest service_request(const std::string& name) {
  v1::CreateServiceRequest request;
  auto& spec = *request.mutable_spec();
  spec.set_name(name);
  spec.mutable_replicated()->set_replicas(3);
  spec.mutable_task()->mutable_container()->set_image("web:1");
  return request;
}

TEST(Manager, InitialisesASwarmAndLeads) {
  Rig rig;
  rig.init();
  EXPECT_TRUE(rig.started);
  EXPECT_TRUE(rig.start_status);
  EXPECT_TRUE(rig.manager->leading());
  const auto cluster = rig.ask<methods::GetCluster>({});
  ASSERT_TRUE(cluster) << cluster.error().message;
  EXPECT_EQ(cluster->managers(), 1U);
  const auto nodes = rig.ask<methods::ListNodes>({});
  ASSERT_TRUE(nodes);
  EXPECT_EQ(nodes->self(), "n1");
  EXPECT_TRUE(nodes->nodes(0).manager_status().leader());
}

TEST(Manager, AnswersThatThereIsNoSwarm) {
  Rig rig;
  const auto answer = rig.ask<methods::ListServices>({});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().reason, "NOT_A_MANAGER");
}

TEST(Manager, KeepsWhatItAcknowledgedOverPowerFailures) {
  Rig rig(11);
  rig.init();
  std::vector<std::string> acknowledged;
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 20; ++i) {
      const std::string name = "web-" + std::to_string(round) + "-" + std::to_string(i);
      ASSERT_TRUE(rig.ask<methods::CreateService>(service_request(name)));
      acknowledged.push_back(name);
      if (i == 10) {
        rig.world.loop.advance(std::chrono::seconds(rig.world.random.below(8)));
      }
    }
    rig.crash();
    rig.start_raft();
    rig.start_manager(false);
    ASSERT_TRUE(rig.lead()) << rig.start_status.error().message << rig.fatal;
    for (const auto& name : acknowledged) {
      ASSERT_NE(rig.manager->store().view().service_by_name(name), nullptr) << name;
    }
    ASSERT_EQ(rig.manager->store().view().all<model::v1::Service>().size(), acknowledged.size());
  }
}

TEST(Manager, TheLogKeepsWhatIsNotYetSafeInTheSavedState) {
  Rig rig;
  auto& config = *rig.start.mutable_config();
  config["trailing_entries"] = "0";
  config["snapshot_entries"] = "10";
  rig.init();
  rig.world.loop.advance(20s);
  for (int i = 0; i < 30; ++i) {  // all within the time after which the state is synced
    ASSERT_TRUE(rig.ask<methods::CreateService>(service_request("web-" + std::to_string(i))));
  }
  ASSERT_GT(rig.backend->unsynced(), 0U);
  rig.crash();
  rig.start_raft();
  rig.start_manager(false);
  ASSERT_TRUE(rig.lead()) << rig.start_status.error().message << rig.fatal;
  EXPECT_EQ(rig.manager->store().view().all<model::v1::Service>().size(), 30U);
}

TEST(Manager, ReplaysTheLogWhenItsSavedStateIsDamaged) {
  Rig rig;
  rig.init();
  const auto made = rig.ask<methods::CreateService>(service_request("web"));
  ASSERT_TRUE(made);
  rig.world.loop.advance(20s);
  rig.crash();
  rig.backend->lose_row(static_cast<std::uint32_t>(store::Table::kService), made->service().id());
  rig.start_raft();
  rig.start_manager(false);
  ASSERT_TRUE(rig.lead());
  EXPECT_NE(rig.manager->store().view().service_by_name("web"), nullptr);
}

TEST(Manager, SurvivesARestartOfTheConsensusPlugin) {
  Rig rig;
  rig.init();
  ASSERT_TRUE(rig.ask<methods::CreateService>(service_request("one")));
  rig.stop_raft();
  rig.manager->consensus_restarted();
  EXPECT_FALSE(rig.manager->leading());
  EXPECT_EQ(rig.step_downs, 1);
  rig.world.loop.advance(1s);
  rig.start_raft();
  ASSERT_TRUE(rig.lead());
  EXPECT_EQ(rig.step_ups, 2);
  ASSERT_TRUE(rig.ask<methods::CreateService>(service_request("two")));
  EXPECT_NE(rig.manager->store().view().service_by_name("one"), nullptr);
}

TEST(Manager, ProposalsOfADeadPluginEndWithAnAnswer) {
  Rig rig;
  rig.init();
  std::vector<Result<std::uint64_t>> results;
  for (int i = 0; i < 5; ++i) {
    store::Transaction transaction;
    model::v1::Service service;
    service.set_id("s" + std::to_string(i));
    service.mutable_spec()->set_name("s" + std::to_string(i));
    transaction.put(service);
    rig.manager->proposer().propose(std::move(transaction), [&](Result<std::uint64_t> result) {
      results.push_back(std::move(result));
    });
  }
  rig.stop_raft();
  rig.manager->consensus_restarted();
  rig.start_raft();
  ASSERT_TRUE(rig.lead());
  rig.world.loop.run_until([&] { return results.size() == 5; }, 60s);
  ASSERT_EQ(results.size(), 5U);
  std::size_t committed = 0;
  for (const auto& result : results) {
    committed += result ? 1 : 0;
    EXPECT_TRUE(result || result.error().reason == "PROPOSAL_DROPPED");
  }
  EXPECT_EQ(rig.manager->store().view().all<model::v1::Service>().size(), committed);
}

TEST(Manager, RequestsWaitForTheLeaderAfterAStart) {
  Rig rig;
  rig.init();
  rig.crash();
  rig.start_manager(false);  // the plugin is not there yet
  bool answered = false;
  rpc::call<methods::ListNodes>(*rig.user, "core", {}, {},
                                [&](Result<v1::ListNodesResponse> reply) {
                                  EXPECT_TRUE(reply);
                                  answered = true;
                                });
  rig.world.loop.advance(1s);
  EXPECT_FALSE(answered);
  rig.start_raft();
  EXPECT_TRUE(rig.world.loop.run_until([&] { return answered; }, 10s));

  rig.crash();
  rig.start_manager(false);
  const auto refused = rig.ask<methods::ListNodes>({});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "NO_LEADER");
}

TEST(Manager, StopSavesEverything) {
  Rig rig;
  rig.init();
  ASSERT_TRUE(rig.ask<methods::CreateService>(service_request("web")));
  bool stopped = false;
  rig.manager->stop([&](Status status) {
    EXPECT_TRUE(status);
    stopped = true;
  });
  rig.world.loop.run_ready();
  EXPECT_TRUE(stopped);
  EXPECT_EQ(rig.backend->unsynced(), 0U);
}

/// A loop that writes whenever it may.
class CountingLoop final : public ControlLoop {
 public:
  CountingLoop(int& starts, int& commits, int& stops)
      : starts_(starts), commits_(commits), stops_(stops) {}
  void start() override { ++starts_; }
  void on_commit(const store::Commit&) override { ++commits_; }
  void stop() override { ++stops_; }

 private:
  int& starts_;
  int& commits_;
  int& stops_;
};

TEST(Manager, LoopsLiveForOneLeadership) {
  Rig rig;
  int starts = 0;
  int commits = 0;
  int stops = 0;
  rig.on_manager = [&](Manager& manager) {
    manager.add_loop(
        [&](const LoopContext&) { return std::make_unique<CountingLoop>(starts, commits, stops); });
  };
  rig.init();
  EXPECT_EQ(starts, 1);
  EXPECT_EQ(commits, 1);
  rig.stop_raft();
  rig.manager->consensus_restarted();
  EXPECT_EQ(stops, 1);
  rig.start_raft();
  ASSERT_TRUE(rig.lead());
  EXPECT_EQ(starts, 2);
}

}  // namespace
}  // namespace skep::control
