#include "core/bus/bus.h"

#include <unistd.h>

#include <atomic>
#include <thread>

#include "bus_fixture.h"
#include "core/bus/trace.h"
#include "core/bus/unix_socket.h"
#include "skep/plugin.methods.h"

namespace skep::bus {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(BusTest, CallsAPluginInProcess) {
  start(options());
  Plugin plugin(loop, bus->context(), bus->inproc_endpoint());
  ASSERT_TRUE(plugin.link.start());
  ASSERT_TRUE(run_until([&] { return !events.empty(); }));
  EXPECT_THAT(events, ElementsAre("+local"));
  const auto reply = get(bus->caller(), "volume/local", "db");
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->volume().name(), "db");
  EXPECT_EQ(plugin.welcome.start_request(), "start local");
  plugin.link.stop();
  ASSERT_TRUE(run_until([&] { return events.size() == 2; }));
  EXPECT_THAT(events, ElementsAre("+local", "-local")) << "BYE is heard at once";
}

TEST_F(BusTest, CallsAPluginOverIpcAndKnowsWhoItIs) {
  start(options());
  struct stat info {};
  ASSERT_EQ(::stat((dir / "bus.sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  Plugin plugin(loop, std::make_shared<ZmqContext>(), bus->ipc_endpoint());
  ASSERT_TRUE(plugin.link.start());
  ASSERT_TRUE(run_until([&] { return plugin.welcomes == 1; }));
  EXPECT_TRUE(get(bus->caller(), "volume/local", "db"));
  rpc::CallContext seen;
  bus->table().on<volume::v1::methods::Get>([&](const auto&, const rpc::CallContext& context, auto reply) {
    seen = context;
    reply(volume::v1::GetResponse());
  });
  EXPECT_TRUE(get(plugin.endpoint_rpc, "core", "x"));
  EXPECT_EQ(seen.principal.kind(), "plugin");
  EXPECT_EQ(seen.principal.id(), "local");
  EXPECT_EQ(seen.principal.uid(), ::getuid());
  EXPECT_EQ(seen.principal.pid(), ::getpid());
  EXPECT_EQ(seen.source, "local");
}

TEST_F(BusTest, CallsOfTheCoreToItself) {
  start(options());
  bus->table().on_sync<volume::v1::methods::Get>(
      [](const auto& request) -> Result<volume::v1::GetResponse> {
        volume::v1::GetResponse response;
        response.mutable_volume()->set_name(request.name());
        return response;
      });
  const auto reply = get(bus->caller(), "core", "me");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->volume().name(), "me");
}

TEST_F(BusTest, ServesTheControlSocketWithPeerCredentials) {
  start(options());
  rpc::CallContext seen;
  bus->table().on<volume::v1::methods::Get>([&](const auto&, const rpc::CallContext& context, auto reply) {
    seen = context;
    reply(volume::v1::GetResponse());
  });
  const auto control = client();
  ASSERT_TRUE(get(control->caller(), "core", "x"));
  EXPECT_EQ(seen.principal.kind(), "local");
  EXPECT_EQ(seen.principal.uid(), ::getuid());
  EXPECT_EQ(seen.principal.pid(), ::getpid());
  ASSERT_TRUE(control->welcome().has_value());
  EXPECT_EQ(control->welcome()->node_id(), "n1");
  const auto unknown = get(control->caller(), "volume/nfs", "x");
  EXPECT_EQ(unknown.error().code, Code::kNotFound);
}

TEST_F(BusTest, RefusesASecondAgentAndReplacesAStaleSocket) {
  start(options());
  Bus second(loop, random, options());
  const auto refused = second.start();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kAlreadyExists);
  EXPECT_THAT(refused.error().message, HasSubstr("another process listens on"));
  second.stop();
  EXPECT_TRUE(get(client()->caller(), "volume/x", "x").error().code == Code::kNotFound)
      << "the first still works";
  bus.reset();
  EXPECT_FALSE(std::filesystem::exists(dir / "bus.sock"));
  EXPECT_FALSE(std::filesystem::exists(dir / "control.sock"));
  // Files that a killed agent left behind.
  for (const auto* const name : {"bus.sock", "control.sock"}) {
    auto left = listen_unix(dir / name, 0600);
    ASSERT_TRUE(left);
  }
  start(options());
  EXPECT_NE(client(), nullptr);
}

TEST_F(BusTest, RefusesAPathThatIsNoSocket) {
  PosixDisk disk;
  ASSERT_TRUE(disk.write_file_atomic(dir / "control.sock", "mine", 0600));
  Bus refused(loop, random, options());
  const auto status = refused.start();
  EXPECT_EQ(status.error().reason, "NOT_A_SOCKET");
  EXPECT_EQ(*disk.read_file(dir / "control.sock"), "mine");
}

TEST_F(BusTest, TellsAClientThatNobodyListens) {
  auto connected = ControlClient::connect(loop, {.path = dir / "control.sock"});
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().code, Code::kUnavailable);
  EXPECT_THAT(connected.error().message, HasSubstr("is agentd running"));
}

TEST_F(BusTest, WorksUnderALongPath) {
  const std::string deep = dir / (std::string(90, 'd') + "/" + std::string(90, 'e'));
  std::filesystem::create_directories(deep);
  auto bus_options = options();
  bus_options.control_socket = deep + "/control.sock";
  bus_options.bus_socket = deep + "/bus.sock";
  start(bus_options);
  auto connected = ControlClient::connect(loop, {.path = bus_options.control_socket});
  ASSERT_TRUE(connected) << connected.error().message;
  EXPECT_EQ(get((*connected)->caller(), "nobody", "x").error().code, Code::kNotFound);
  Plugin plugin(loop, std::make_shared<ZmqContext>(), bus->ipc_endpoint());
  const auto started = plugin.link.start();
  ASSERT_TRUE(started) << started.error().message;
  ASSERT_TRUE(run_until([&] { return plugin.welcomes == 1; }));
}

TEST_F(BusTest, ClientLearnsThatTheAgentStops) {
  start(options());
  auto control = client();
  ASSERT_TRUE(run_until([&] { return control->welcome().has_value(); }));
  std::string why;
  control->set_on_closed([&](const std::string& reason) { why = reason; });
  std::optional<Result<rpc::Body>> reply;
  bus->table().on<volume::v1::methods::Get>([&](const auto&, const auto&, auto) { bus->stop(); });
  control->caller().call("core", volume::v1::methods::Get::kName, {}, {}, [&](auto r) { reply = r; });
  ASSERT_TRUE(run_until([&] { return !why.empty(); }));
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->error().code, Code::kUnavailable);
  EXPECT_FALSE(control->connected());
}

TEST_F(BusTest, LinkComesBackAfterTheAgentRestarts) {
  start(options());
  Plugin plugin(loop, std::make_shared<ZmqContext>(), bus->ipc_endpoint());
  ASSERT_TRUE(plugin.link.start());
  ASSERT_TRUE(run_until([&] { return plugin.welcomes == 1; }));
  const auto first_epoch = plugin.welcome.core_epoch();
  bus.reset();
  ASSERT_TRUE(run_until([&] { return !plugin.link.welcome(); }));
  EXPECT_FALSE(plugin.lost.empty());
  EXPECT_EQ(plugin.link.send("x", "y").error().code, Code::kUnavailable);
  start(options());
  ASSERT_TRUE(run_until([&] { return plugin.welcomes == 2; }));
  EXPECT_NE(plugin.welcome.core_epoch(), first_epoch);
  EXPECT_TRUE(get(bus->caller(), "volume/local", "db"));
}

TEST_F(BusTest, LinkIsToldWhenItIsRefusedForGood) {
  start(options({.admit = [](const PeerFacts&, const v1::Hello&) -> Result<v1::Welcome> {
    return Error{Code::kPermissionDenied, "unknown plugin", "NOT_EXPECTED"};
  }}));
  Plugin plugin(loop, bus->context(), bus->inproc_endpoint());
  ASSERT_TRUE(plugin.link.start());
  ASSERT_TRUE(run_until([&] { return !plugin.rejected.empty(); }));
  EXPECT_EQ(plugin.rejected, "unknown plugin");
  EXPECT_TRUE(events.empty());
}

TEST_F(BusTest, LinkTriesAgainWhenTheRefusalMayPass) {
  int asked = 0;
  start(options({.admit = [&](const PeerFacts&, const v1::Hello&) -> Result<v1::Welcome> {
    if (++asked == 1) {
      return Error{Code::kUnavailable, "not yet"};
    }
    return v1::Welcome();
  }}));
  Plugin plugin(loop, bus->context(), bus->inproc_endpoint());
  ASSERT_TRUE(plugin.link.start());
  ASSERT_TRUE(run_until([&] { return plugin.welcomes == 1; }));
  EXPECT_EQ(asked, 2);
  EXPECT_TRUE(plugin.rejected.empty());
}

TEST_F(BusTest, MissesASilentParticipantByHeartbeat) {
  auto router = accept_everybody();
  router.heartbeat = 20ms;
  start(options(router));
  // A socket that says HELLO and then nothing, like a plugin whose loop hangs.
  const auto socket = ZmqSocket::make(bus->context(), ZmqType::kDealer);
  ASSERT_TRUE((*socket)->connect(bus->inproc_endpoint()));
  v1::Header header;
  header.set_protocol(1);
  header.set_type(v1::HELLO);
  auto hello = hello_of("mute", "volume");
  hello.set_protocol(1);
  ASSERT_EQ((*socket)->send({header.SerializeAsString(), hello.SerializeAsString()}),
            ZmqSocket::Sent::kYes);
  ASSERT_TRUE(run_until([&] { return events.size() == 2; }));
  EXPECT_THAT(events, ElementsAre("+mute", "-mute"));
}

TEST_F(BusTest, CarriesManyCallsBothWaysAtOnce) {
  start(options());
  bus->table().on_sync<volume::v1::methods::Get>(
      [](const auto&) -> Result<volume::v1::GetResponse> { return volume::v1::GetResponse(); });
  Plugin inproc(loop, bus->context(), bus->inproc_endpoint(), "one");
  Plugin ipc(loop, std::make_shared<ZmqContext>(), bus->ipc_endpoint(), "two");
  ASSERT_TRUE(inproc.link.start());
  ASSERT_TRUE(ipc.link.start());
  ASSERT_TRUE(run_until([&] { return inproc.welcomes + ipc.welcomes == 2; }));
  int answered = 0;
  int failed = 0;
  std::string last_error;
  const auto count = [&](const Result<rpc::Body>& reply) {
    ++(reply ? answered : failed);
    if (!reply) {
      last_error = reply.error().message;
    }
  };
  constexpr auto kGet = volume::v1::methods::Get::kName;
  for (int i = 0; i < 900; ++i) {
    bus->caller().call("volume/one", kGet, {}, {}, count);
    bus->caller().call("volume/two", kGet, {}, {}, count);
    inproc.endpoint_rpc.call("core", kGet, {}, {}, count);
    ipc.endpoint_rpc.call("volume/one", kGet, {}, {}, count);
  }
  ASSERT_TRUE(run_until([&] { return answered + failed == 3600; })) << answered;
  EXPECT_EQ(failed, 0) << last_error;
}

TEST_F(BusTest, PluginOnItsOwnThreadSendsFromAnyThread) {
  start(options());
  std::atomic<int> events_heard{0};
  bus->table().on_sync<volume::v1::methods::Get>([&](const auto&) -> Result<volume::v1::GetResponse> {
    ++events_heard;
    return volume::v1::GetResponse();
  });
  base::AsioLoop plugin_loop;
  std::unique_ptr<Plugin> plugin;
  std::atomic<bool> ready{false};
  std::thread thread([&] {
    plugin = std::make_unique<Plugin>(plugin_loop, bus->context(), bus->inproc_endpoint());
    EXPECT_TRUE(plugin->link.start());
    ready = true;
    plugin_loop.run();
    plugin.reset();
  });
  ASSERT_TRUE(run_until([&] { return ready && plugin->link.welcome(); }));
  // Raw requests from a thread that is not the plugin's loop, as a driver's worker might log.
  constexpr int kFromOutside = 200;
  std::thread outside([&] {
    for (std::uint64_t i = 1; i <= kFromOutside; ++i) {
      v1::Header header;
      header.set_protocol(1);
      header.set_type(v1::REQUEST);
      header.set_correlation(1'000'000 + i);
      header.set_target("core");
      header.set_method(std::string(volume::v1::methods::Get::kName));
      EXPECT_TRUE(plugin->link.send(header.SerializeAsString(), {}));
    }
  });
  int answered = 0;
  for (int i = 0; i < 500; ++i) {
    bus->caller().call("volume/local", volume::v1::methods::Get::kName, {}, {}, [&](const auto& reply) {
      EXPECT_TRUE(reply.has_value());
      ++answered;
    });
  }
  EXPECT_TRUE(run_until([&] { return answered == 500 && events_heard == kFromOutside; }));
  outside.join();
  plugin_loop.stop();
  thread.join();
  EXPECT_TRUE(run_until([&] { return events.size() == 2; })) << "BYE";
}

TEST_F(BusTest, DestructorCallsNobody) {
  start(options());
  bus->table().on<volume::v1::methods::Get>([](const auto&, const auto&, auto reply) {
    static std::vector<rpc::Reply<volume::v1::GetResponse>> held;
    held.push_back(std::move(reply));
  });
  bool called = false;
  bus->caller().call("core", volume::v1::methods::Get::kName, {}, {}, [&](const auto&) { called = true; });
  loop.run_once(std::chrono::milliseconds(10));
  bus.reset();
  EXPECT_FALSE(called);
}

TEST_F(BusTest, TracesCallsAsAStream) {
  start(options());
  PosixClock clock;
  serve_trace(*bus, loop, clock);
  Plugin plugin(loop, bus->context(), bus->inproc_endpoint());
  ASSERT_TRUE(plugin.link.start());
  ASSERT_TRUE(run_until([&] { return !events.empty(); }));
  const auto control = client();
  std::vector<std::string> lines;
  plugin::v1::TraceRequest request;
  request.set_filter("volume/1");
  const auto trace = rpc::open<plugin::v1::methods::Trace>(
      control->caller(), "core", request, {.deadline = 0ms},
      [&](const plugin::v1::TraceLine& line) { lines.push_back(line.direction() + " " + line.participant()); },
      [](const Status&) {});
  ASSERT_TRUE(run_until([&] { return control->welcome().has_value(); }));
  ASSERT_EQ(get(control->caller(), "nobody", "x").error().code, Code::kNotFound);  // trace is open now
  lines.clear();
  ASSERT_TRUE(get(bus->caller(), "volume/local", "db"));
  ASSERT_TRUE(run_until([&] { return lines.size() >= 4; }));
  EXPECT_THAT(lines, ElementsAre("in core", "out local", "in local", "out core"));
  trace->cancel();
  ASSERT_TRUE(run_until([&] { return bus->core_stats().served == 0; }));
}

}  // namespace
}  // namespace skep::bus
