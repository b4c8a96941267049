#include <gmock/gmock.h>

#include <atomic>
#include <stdexcept>

#include "fake_host.h"
#include "skep/plugin.methods.h"

namespace skep {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
namespace volumes = volume::v1::methods;

/// Throws where a volume is named so, and checks that calls come one at a time.
class TestVolumes final : public VolumeDriver {
 public:
  Status start(const DriverContext& context) override {
    if (context.start.config().contains("refuse")) {
      return Error{Code::kFailedPrecondition, "told to refuse"};
    }
    if (context.start.config().contains("throw")) {
      throw std::runtime_error("thrown in start");
    }
    context.env.loop.run_after(1ms, [] { throw std::runtime_error("thrown in timer"); });
    (void)context.env.workers.run([] { throw std::runtime_error("thrown in worker"); }, [] {});
    return ok();
  }
  void stop() override { throw std::runtime_error("thrown in stop"); }
  Result<volume::v1::Volume> create(const volume::v1::CreateRequest& request) override {
    EXPECT_EQ(++inside_, 1) << "one call at a time";
    std::this_thread::yield();
    volume::v1::Volume volume;
    volume.set_name(request.name());
    volumes_.push_back(volume);
    --inside_;
    return volume;
  }
  Status remove(const volume::v1::RemoveRequest&) override { throw 42; }
  Result<std::string> mount(const volume::v1::MountRequest&) override {
    throw std::runtime_error("thrown in mount");
  }
  Status unmount(const volume::v1::UnmountRequest&) override { return ok(); }
  Result<volume::v1::Volume> get(const std::string& name) override {
    return Error{Code::kNotFound, "no volume '" + name + "'"};
  }
  Result<std::vector<volume::v1::Volume>> list() override { return volumes_; }

 private:
  std::atomic<int> inside_{0};
  std::vector<volume::v1::Volume> volumes_;
};

/// Two kinds in one class, as a site's etcd plugin has.
class TwoKinds final : public ConsensusDriver, public DiscoveryDriver {
 public:
  Status start(const DriverContext& context) override {
    core_ = &context.core;
    return ok();
  }
  plugin::v1::StatusResponse status() override {
    plugin::v1::StatusResponse response;
    response.set_description("two kinds");
    return response;
  }
  void open(const consensus::v1::StartRequest&, ConsensusDriver::Reply<consensus::v1::StartResponse>) override {
    throw std::runtime_error("thrown in open");
  }
  void propose(const consensus::v1::ProposeRequest&,
               ConsensusDriver::Reply<consensus::v1::ProposeResponse> reply) override {
    reply(consensus::v1::ProposeResponse());
    throw std::runtime_error("thrown after the answer");
  }
  void read_barrier(ConsensusDriver::Reply<consensus::v1::ReadBarrierResponse> reply) override {
    rpc::call<consensus::v1::methods::Leadership>(*core_, "core", {}, {},
                                                  [reply](const auto& answer) {
                                                    consensus::v1::ReadBarrierResponse response;
                                                    response.set_index(answer ? 7 : 0);
                                                    reply(response);
                                                  });
  }
  void change_members(const consensus::v1::ChangeMembersRequest&,
                      ConsensusDriver::Reply<consensus::v1::ChangeMembersResponse>) override {}
  void transfer_leadership(
      const consensus::v1::TransferLeadershipRequest&,
      ConsensusDriver::Reply<consensus::v1::TransferLeadershipResponse>) override {}
  consensus::v1::StatusResponse consensus_status() override { return {}; }
  void snapshot_available(const consensus::v1::SnapshotAvailableRequest&) override {}
  void deliver(const consensus::v1::DeliverRequest&) override {}
  void register_self(const discovery::v1::RegisterRequest&,
                     DiscoveryDriver::Reply<discovery::v1::RegisterResponse>) override {}
  void deregister(DiscoveryDriver::Reply<discovery::v1::DeregisterResponse>) override {}
  void list(DiscoveryDriver::Reply<discovery::v1::ListResponse> reply) override {
    discovery::v1::ListResponse response;
    response.add_peers()->set_node_id("n1");
    reply(response);
  }
  void watch(const discovery::v1::WatchRequest&,
             rpc::TypedServerStream<discovery::v1::methods::Watch>) override {
    throw std::runtime_error("thrown in watch");
  }

 private:
  rpc::Caller* core_ = nullptr;
};

std::string config(const std::string& key) {
  plugin::v1::StartRequest request;
  (*request.mutable_config())[key] = "1";
  return request.SerializeAsString();
}

TEST(PluginGlue, ServesADriverOneCallAtATime) {
  FakeHost host;
  ASSERT_TRUE(host.create<TestVolumes>());
  ASSERT_EQ(host.start(), 0);
  int answered = 0;
  for (int i = 0; i < 200; ++i) {
    volume::v1::CreateRequest request;
    request.set_name("v" + std::to_string(i));
    rpc::call<volumes::Create>(host.core, "fake", request, {}, [&](const auto& reply) {
      EXPECT_TRUE(reply.has_value());
      ++answered;
    });
  }
  EXPECT_TRUE(host.run_until([&] { return answered == 200; }));
  const auto list = host.call<volumes::List>({});
  ASSERT_TRUE(list);
  ASSERT_EQ(list->volumes_size(), 200);
  EXPECT_EQ(list->volumes(199).name(), "v199") << "in order";
  const auto status = host.call<plugin::v1::methods::Status>({});
  EXPECT_TRUE(status && status->healthy());
}

TEST(PluginGlue, TurnsExceptionsIntoErrors) {
  FakeHost host;
  ASSERT_TRUE(host.create<TestVolumes>());
  ASSERT_EQ(host.start(), 0);
  const auto mount = host.call<volumes::Mount>({});
  EXPECT_EQ(mount.error().code, Code::kInternal);
  EXPECT_EQ(mount.error().message, "the driver threw: thrown in mount");
  const auto remove = host.call<volumes::Remove>({});
  EXPECT_EQ(remove.error().message, "the driver threw an unknown exception");
  EXPECT_TRUE(host.run_until([&] {
    const auto log = host.log();
    return log.find("thrown in timer") != std::string::npos &&
           log.find("thrown in worker") != std::string::npos;
  })) << host.log();
  host.stop();
  EXPECT_THAT(host.log(), HasSubstr("thrown in stop"));
}

TEST(PluginGlue, ReportsAStartThatFailsOrThrows) {
  FakeHost refusing;
  ASSERT_TRUE(refusing.create<TestVolumes>());
  EXPECT_EQ(refusing.start(config("refuse")), static_cast<int>(Code::kFailedPrecondition));
  EXPECT_THAT(refusing.log(), HasSubstr("told to refuse"));
  FakeHost throwing;
  ASSERT_TRUE(throwing.create<TestVolumes>());
  EXPECT_EQ(throwing.start(config("throw")), static_cast<int>(Code::kInternal));
  EXPECT_THAT(throwing.log(), HasSubstr("thrown in start"));
  FakeHost malformed;
  ASSERT_TRUE(malformed.create<TestVolumes>());
  EXPECT_EQ(malformed.start("\xff\xff"), static_cast<int>(Code::kInvalidArgument));
}

TEST(PluginGlue, RefusesAHostWithoutLoop) {
  FakeHost host(false);
  EXPECT_FALSE(host.create<TestVolumes>());
  EXPECT_THAT(host.log(), HasSubstr("skep.loop/1"));
}

TEST(PluginGlue, ServesTwoKindsAndCallsTheCore) {
  FakeHost host;
  host.core_table.on_sync<consensus::v1::methods::Leadership>(
      [](const auto&) { return consensus::v1::LeadershipResponse(); });
  ASSERT_TRUE(host.create<TwoKinds>());
  ASSERT_EQ(host.start(), 0);
  const auto peers = host.call<discovery::v1::methods::List>({});
  ASSERT_TRUE(peers);
  EXPECT_EQ(peers->peers(0).node_id(), "n1");
  EXPECT_TRUE(host.call<consensus::v1::methods::Propose>({})) << "answered once, thrown after";
  EXPECT_THAT(host.call<consensus::v1::methods::Start>({}).error().message,
              HasSubstr("thrown in open"));
  const auto barrier = host.call<consensus::v1::methods::ReadBarrier>({});
  ASSERT_TRUE(barrier);
  EXPECT_EQ(barrier->index(), 7U);
  EXPECT_EQ(host.call<plugin::v1::methods::Status>({})->description(), "two kinds");
  std::optional<Status> done;
  const auto stream = rpc::open<discovery::v1::methods::Watch>(
      host.core, "fake", {}, {}, [](const auto&) {}, [&](Status s) { done = std::move(s); });
  EXPECT_TRUE(host.run_until([&] { return done.has_value(); }));
  EXPECT_THAT(done->error().message, HasSubstr("thrown in watch"));
  host.stop();
}

}  // namespace
}  // namespace skep
