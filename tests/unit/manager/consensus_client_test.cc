// The core's end of consensus/1 against a driver that says what the test wants, when it wants it.

#include "core/control/consensus_client.h"

#include <gtest/gtest.h>

#include <optional>

#include "skep/testing/local_bus.h"
#include "skep/testing/manual_env.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;
namespace methods = consensus::v1::methods;

bus::v1::Principal principal(const std::string& kind) {
  bus::v1::Principal made;
  made.set_kind(kind);
  return made;
}

/// A client whose driver takes proposals and answers read barriers with `committed`, but delivers
/// entries only by deliver().
class DriverByHand {
 public:
  explicit DriverByHand(std::function<Status()> on_made = {}, bool log_made = false) : bus(world.loop) {
    driver_table_.on<methods::Start>([this](const auto& request, const rpc::CallContext&, auto reply) {
      starts.push_back(request);
      start_error ? reply(*start_error) : reply(consensus::v1::StartResponse());
    });
    driver_table_.on<methods::ReadBarrier>(
        [this](const auto&, const rpc::CallContext&, auto reply) {
          consensus::v1::ReadBarrierResponse response;
          response.set_index(committed);
          reply(std::move(response));
        });
    driver_table_.on<methods::Propose>(
        [this](const auto& request, const rpc::CallContext&, auto reply) {
          accepted.push_back(request.data());
          consensus::v1::ProposeResponse response;
          response.set_index(accepted.size());
          reply(std::move(response));
        });
    ConsensusClient::register_methods(core_table_, [this] { return client.get(); });
    auto& core = bus.attach("core", "n1", {"core"}, core_table_, principal("core"));
    driver_ = &bus.attach("raft", "n1", {"consensus/raft"}, driver_table_, principal("plugin"));
    ConsensusClient::Handlers handlers;
    handlers.on_leading = [this](bool leading, std::uint64_t) { leads = leading; };
    handlers.on_made = std::move(on_made);
    handlers.on_fatal = [this](const Error& error) { fatal = error.reason; };
    ConsensusClient::Config config;
    config.log_made = log_made;
    config.cluster_id = "c1";
    config.node_id = "n1";
    client = std::make_unique<ConsensusClient>(world.env, core, store, std::move(config),
                                               std::move(handlers));
    client->start();
    world.loop.run_ready();
  }

  void say_who_leads(bool leader) {
    consensus::v1::LeadershipRequest request;
    request.set_leader(leader);
    request.set_term(1);
    rpc::call<methods::Leadership>(*driver_, "core", request, {}, [](const auto&) {});
    world.loop.run_ready();
  }
  /// Service "s1"; `result` is told and outlives this.
  void propose_service(Result<std::uint64_t>& result) {
    model::v1::Service service;
    service.set_id("s1");
    store::Transaction transaction;
    transaction.put(std::move(service));
    client->propose(std::move(transaction), [&result](Result<std::uint64_t> answer) { result = std::move(answer); });
    world.loop.advance(1s);
  }
  void deliver(const std::string& data = "") {
    consensus::v1::CommittedRequest request;
    auto& entry = *request.add_entries();
    entry.set_index(store.applied_index() + 1);
    entry.set_term(1);
    entry.set_data(data);
    rpc::call<methods::Committed>(*driver_, "core", request, {}, [](const auto&) {});
    world.loop.run_ready();
  }

  testing::ManualEnv world;
  testing::LocalBus bus;
  store::Store store;
  std::uint64_t committed = 0;        ///< what a read barrier answers
  std::vector<std::string> accepted;  ///< proposals, from index 1 on
  bool leads = false;
  std::vector<consensus::v1::StartRequest> starts;
  std::optional<Error> start_error;
  std::string fatal;
  std::unique_ptr<ConsensusClient> client;

 private:
  rpc::MethodTable driver_table_;
  rpc::MethodTable core_table_;
  rpc::Caller* driver_ = nullptr;
};

TEST(ConsensusClient, LeadsAndReadsOnceEverythingCommittedBeforeIsApplied) {
  DriverByHand driver;
  driver.committed = 2;
  driver.deliver();
  driver.say_who_leads(true);
  EXPECT_FALSE(driver.leads) << "entry 2 may be anything";
  driver.deliver();
  EXPECT_TRUE(driver.leads);

  bool read = false;
  driver.committed = 3;
  driver.client->read_barrier([&](const Status& status) { read = status.has_value(); });
  driver.world.loop.run_ready();
  EXPECT_FALSE(read) << "it would miss entry 3";
  driver.deliver();
  EXPECT_TRUE(read);
}

TEST(ConsensusClient, AChangeIsDoneWhenItIsCommittedNotWhenTheLogTookIt) {
  DriverByHand driver;
  driver.say_who_leads(true);
  Result<std::uint64_t> result = Error{Code::kInternal, "no answer", "NONE"};
  driver.propose_service(result);
  ASSERT_EQ(driver.accepted.size(), 1U);
  ASSERT_FALSE(result) << "another leader may still put another entry in its place";
  EXPECT_EQ(result.error().reason, "NONE");
  driver.deliver(driver.accepted[0]);
  ASSERT_TRUE(result);
  EXPECT_EQ(*result, 1U);
  EXPECT_NE(driver.store.view().get<model::v1::Service>("s1"), nullptr);
}

TEST(ConsensusClient, AChangeWhoseEntryAnotherLeaderReplacedIsNotDone) {
  DriverByHand driver;
  driver.say_who_leads(true);
  Result<std::uint64_t> result = Error{Code::kInternal, "no answer", "NONE"};
  driver.propose_service(result);
  ASSERT_EQ(driver.accepted.size(), 1U);
  driver.deliver();  // what is committed at its index is the first entry of a new leader
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().reason, "PROPOSAL_DROPPED");
  EXPECT_EQ(driver.store.view().get<model::v1::Service>("s1"), nullptr);
}

TEST(ConsensusClient, ALogIsOpenedOnlyOnceItIsNotedThatItWasMade) {
  Status disk = Error{Code::kResourceExhausted, "swarm.pb: no space left on device", "DISK_FULL"};
  int noted = 0;
  DriverByHand driver([&] {
    ++noted;
    return disk;
  });
  driver.world.loop.advance(10s);
  ASSERT_GT(noted, 1) << "tried again";
  for (const auto& start : driver.starts) {
    EXPECT_TRUE(start.only_make()) << "what is opened may promise something";
    EXPECT_FALSE(start.must_exist());
  }
  EXPECT_FALSE(driver.client->is_open());
  EXPECT_NE(driver.client->trouble().find("swarm.pb: no space left"), std::string::npos);
  disk = ok();
  const int before = noted;
  driver.world.loop.advance(10s);
  EXPECT_TRUE(driver.client->is_open());
  EXPECT_TRUE(driver.client->trouble().empty());
  EXPECT_FALSE(driver.starts.back().only_make());
  EXPECT_TRUE(driver.starts.back().must_exist()) << "also when the plugin restarts";
  driver.client->plugin_restarted();
  driver.world.loop.run_ready();
  EXPECT_FALSE(driver.starts.back().only_make());
  EXPECT_TRUE(driver.starts.back().must_exist());
  EXPECT_EQ(noted, before + 1);
}

TEST(ConsensusClient, ALogThatWasMadeBeforeMustBeThere) {
  DriverByHand driver([] { return ok(); }, /*log_made=*/true);
  ASSERT_EQ(driver.starts.size(), 1U);
  EXPECT_TRUE(driver.starts[0].must_exist());
  EXPECT_FALSE(driver.starts[0].only_make());
  driver.start_error = Error{Code::kDataLoss, "the log is empty though it was made before", "LOG_LOST"};
  driver.client->plugin_restarted();
  driver.world.loop.advance(10s);
  EXPECT_EQ(driver.fatal, "LOG_LOST");
  EXPECT_EQ(driver.starts.size(), 2U) << "nothing brings it back";
}

}  // namespace
}  // namespace skep::control
