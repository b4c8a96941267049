// A participant that does not read may cost a bounded amount of memory and then its connection.

#include "bus_fixture.h"
#include "core/bus/carrier.h"
#include "core/bus/control_server.h"
#include "core/bus/frame_codec.h"
#include "core/bus/stream_connection.h"
#include "core/bus/zmq_router.h"
#include "skep/runtime.methods.h"

namespace skep::bus {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct SlowReader : BusTest {
  CarrierEvents carrier_events() {
    return {.next_id = [this] { return ++peer; },
            .on_opened = [](PeerId, const PeerFacts&) {},
            .on_frame = [this](PeerId, const std::string&, const std::string&) { ++frames; },
            .on_closed = [this](PeerId, const std::string& why) { closed = why; }};
  }
  PeerId peer = 0;
  int frames = 0;
  std::string closed;
};

TEST_F(SlowReader, OfTheControlSocketIsCutOff) {
  const auto server = ControlServer::listen(loop, dir / "c.sock", 0600, carrier_events());
  ASSERT_TRUE(server);
  const auto fd = connect_unix(dir / "c.sock");
  ASSERT_TRUE(fd);
  ASSERT_TRUE(run_until([&] { return (*server)->connections() == 1; }));
  const std::string body(256 << 10, 'x');
  std::size_t most = 0;
  for (int i = 0; i < 1000 && closed.empty(); ++i) {
    (*server)->send(peer, "h", body);
    most = std::max(most, (*server)->waiting_bytes());
    loop.run_once(0ms);
  }
  EXPECT_LE(most, kOutputMax);
  EXPECT_THAT(closed, HasSubstr("does not read"));
  EXPECT_EQ((*server)->waiting_bytes(), 0U);
}

TEST_F(SlowReader, OfTheZmqBusIsCutOff) {
  const auto context = std::make_shared<ZmqContext>();
  const auto router = ZmqRouter::bind(loop, context, "inproc://slow", carrier_events());
  ASSERT_TRUE(router);
  const auto dealer = ZmqSocket::make(context, ZmqType::kDealer);
  ASSERT_TRUE((*dealer)->connect("inproc://slow"));
  ASSERT_EQ((*dealer)->send({"header", "body"}), ZmqSocket::Sent::kYes);
  ASSERT_TRUE(run_until([&] { return frames == 1; }));
  const std::string body(128 << 10, 'x');
  std::size_t most = 0;
  for (int i = 0; i < 4000 && closed.empty(); ++i) {
    (*router)->send(peer, "h", body);
    most = std::max(most, (*router)->waiting_bytes());
    loop.run_once(0ms);
  }
  EXPECT_LE(most, kPeerOutputMax);
  EXPECT_GT(most, kPeerOutputMax / 2) << "it did wait for a while";
  EXPECT_THAT(closed, HasSubstr("does not read"));
}

TEST_F(SlowReader, OfAStreamStopsTheSenderByCredit) {
  start(options());
  std::shared_ptr<rpc::ServerStream> served;
  bus->table().on_stream<runtime::v1::methods::Logs>([&](const auto&, auto stream) { served = stream.raw(); });
  const auto control = client();
  std::size_t received = 0;
  const auto stream = control->caller().open(
      "core", runtime::v1::methods::Logs::kName, {}, {.deadline = 0ms},
      {.on_chunk = [&](const rpc::Body& chunk) { received += chunk.size(); }, .on_done = [](const auto&) {}});
  ASSERT_TRUE(run_until([&] { return served != nullptr; }));
  stream->hold_credit(true);
  std::size_t sent = 0;
  for (int turn = 0; turn < 200; ++turn) {
    while (served->send(rpc::Body(10'000, 'x'))) {
      sent += 10'000;
    }
    loop.run_once(0ms);
  }
  EXPECT_LE(sent, rpc::kWindow);
  ASSERT_TRUE(run_until([&] { return received == sent; }));
  stream->hold_credit(false);
  ASSERT_TRUE(run_until([&] { return bool(served->send(rpc::Body(10'000, 'x'))); }));
  served->finish(rpc::Body{});
}

TEST_F(SlowReader, PrefixOfAHugeFrameReservesNothing) {
  FrameParser parser;
  std::vector<FrameParser::Frame> parsed;
  EXPECT_TRUE(parser.feed(frame_prefix(rpc::kHeaderMax, rpc::kBodyMax), parsed));
  EXPECT_EQ(parser.pending(), kFramePrefixSize);
  EXPECT_FALSE(FrameParser().feed(frame_prefix(rpc::kHeaderMax + 1, 0), parsed));
  EXPECT_FALSE(FrameParser().feed(frame_prefix(1, rpc::kBodyMax + 1), parsed));
  EXPECT_FALSE(FrameParser().feed(frame_prefix(0, 1), parsed));
}

TEST(FrameParser, JoinsBytesHoweverTheyArrive) {
  std::string wire;
  for (int i = 0; i < 5; ++i) {
    const std::string header = "header" + std::to_string(i);
    const std::string body(static_cast<std::size_t>(i) * 7, 'b');
    wire += frame_prefix(header.size(), body.size()) + header + body;
  }
  for (std::size_t step = 1; step <= wire.size(); ++step) {
    FrameParser parser;
    std::vector<FrameParser::Frame> frames;
    for (std::size_t at = 0; at < wire.size(); at += step) {
      ASSERT_TRUE(parser.feed(std::string_view(wire).substr(at, step), frames));
    }
    ASSERT_EQ(frames.size(), 5U);
    EXPECT_EQ(frames[4].header, "header4");
    EXPECT_EQ(frames[4].body.size(), 28U);
    EXPECT_EQ(parser.pending(), 0U);
  }
}

TEST_F(SlowReader, GarbageOnTheControlSocketClosesIt) {
  start(options());
  const auto fd = connect_unix(dir / "control.sock");
  ASSERT_TRUE(fd);
  const std::string garbage(100, '\xff');
  ASSERT_EQ(::write(fd->get(), garbage.data(), garbage.size()), 100);
  char byte = 0;
  ASSERT_TRUE(run_until([&] { return ::read(fd->get(), &byte, 1) == 0; })) << "closed by the agent";
}

}  // namespace
}  // namespace skep::bus
