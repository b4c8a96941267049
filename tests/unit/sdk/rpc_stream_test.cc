#include "rpc_pair.h"
#include "skep/runtime.methods.h"

namespace skep::rpc {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
namespace methods = runtime::v1::methods;

constexpr std::string_view kExec = methods::Exec::kName;
constexpr std::chrono::milliseconds kForever{0};

/// The caller's view of one stream.
struct Client {
  std::vector<Body> chunks;
  std::size_t bytes = 0;
  int writable = 0;
  std::optional<Result<Body>> done;
  StreamHandlers handlers() {
    return {.on_chunk =
                [this](Body chunk) {
                  bytes += chunk.size();
                  chunks.push_back(std::move(chunk));
                },
            .on_done =
                [this](Result<Body> last) {
                  EXPECT_FALSE(done.has_value()) << "done twice";
                  done = std::move(last);
                },
            .on_writable = [this] { ++writable; }};
  }
};

/// A pair whose server keeps the streams it is given.
struct Streams : Pair {
  Streams() {
    server_table.on_stream<methods::Exec>(
        [this](const auto&, TypedServerStream<methods::Exec> stream) {
          served.push_back(stream.raw());
          if (on_open) {
            on_open(stream.raw());
          }
        });
  }
  std::shared_ptr<ClientStream> open_exec(Client& client_view) {
    auto stream = client.open("runtime/oci", kExec, {}, {.deadline = kForever}, client_view.handlers());
    loop.run_ready();
    return stream;
  }
  std::function<void(std::shared_ptr<ServerStream>)> on_open;
  std::vector<std::shared_ptr<ServerStream>> served;
};

TEST(RpcStream, CarriesChunksBothWaysAndEnds) {
  Streams pair;
  std::vector<Body> got;
  bool ended = false;
  pair.on_open = [&](const std::shared_ptr<ServerStream>& stream) {
    stream->set_handlers([&](Body chunk) { got.push_back(std::move(chunk)); },
                         [&, stream] {
                           ended = true;
                           stream->finish(Body("bye"));
                         },
                         {}, {});
    EXPECT_TRUE(stream->send("hello"));
  };
  Client view;
  const auto stream = pair.open_exec(view);
  EXPECT_TRUE(stream->send("one"));
  EXPECT_TRUE(stream->send("two"));
  stream->end();
  EXPECT_EQ(stream->send("late").error().code, Code::kCancelled);
  pair.loop.run_ready();
  EXPECT_THAT(got, ElementsAre("one", "two"));
  EXPECT_TRUE(ended);
  EXPECT_THAT(view.chunks, ElementsAre("hello"));
  ASSERT_TRUE(view.done && *view.done);
  EXPECT_EQ(**view.done, "bye");
  EXPECT_EQ(pair.server.stats().served, 0U);
  EXPECT_EQ(pair.client.stats().calls, 0U);
}

TEST(RpcStream, StopsTheSenderWithoutCreditAndWakesIt) {
  Streams pair;
  Client view;
  const auto stream = pair.open_exec(view);
  stream->hold_credit(true);
  int writable = 0;
  pair.served[0]->set_handlers({}, {}, {}, [&] { ++writable; });
  std::size_t sent = 0;
  while (pair.served[0]->send(Body(100'000, 'x'))) {
    sent += 100'000;
  }
  EXPECT_LE(sent, kWindow);
  EXPECT_GE(sent, kWindow - 101'000);
  pair.loop.run_ready();
  EXPECT_EQ(view.bytes, sent);
  EXPECT_EQ(pair.served[0]->send("x").error().code, Code::kResourceExhausted)
      << "what was refused before needs credit first";
  EXPECT_EQ(writable, 0);
  stream->hold_credit(false);
  pair.loop.run_ready();
  EXPECT_EQ(writable, 1);
  EXPECT_TRUE(pair.served[0]->send(Body(kChunkMax, 'x'))) << "any legal chunk fits after on_writable";
}

TEST(RpcStream, MovesMuchMoreThanOneWindowBothWays) {
  Streams pair;
  constexpr std::size_t kTotal = 20 * kWindow;
  std::size_t received = 0;
  pair.on_open = [&](const std::shared_ptr<ServerStream>& stream) {
    stream->set_handlers([&](const Body& chunk) { received += chunk.size(); }, {}, {}, {});
  };
  Client view;
  std::size_t sent = 0;
  std::shared_ptr<ClientStream> stream;
  const auto pump = [&] {
    while (sent < kTotal && stream->send(Body(65'536, 'x'))) {
      sent += 65'536;
    }
  };
  auto handlers = view.handlers();
  handlers.on_writable = pump;
  stream = pair.client.open("runtime/oci", kExec, {}, {.deadline = kForever}, handlers);
  pump();
  pair.loop.run_ready();
  EXPECT_EQ(received, kTotal);
}

TEST(RpcStream, RefusesAChunkAboveTheLimit) {
  Streams pair;
  Client view;
  const auto stream = pair.open_exec(view);
  EXPECT_EQ(stream->send(Body(kChunkMax + 1, 'x')).error().code, Code::kInvalidArgument);
  EXPECT_TRUE(stream->send(Body(kChunkMax, 'x')));
}

TEST(RpcStream, EndsAPeerThatIgnoresItsCredit) {
  Streams pair;
  bool cancelled = false;
  pair.on_open = [&](const std::shared_ptr<ServerStream>& stream) {
    stream->hold_credit(true);
    stream->set_handlers({}, {}, [&] { cancelled = true; }, {});
  };
  Client view;
  const auto stream = pair.open_exec(view);
  bus::v1::Header header;
  header.set_protocol(kProtocol);
  header.set_type(bus::v1::STREAM);
  header.set_correlation(1);
  for (int i = 0; i < 5; ++i) {
    pair.server.on_frame(header, Body(kChunkMax, 'x'));
  }
  pair.loop.run_ready();
  EXPECT_TRUE(cancelled);
  ASSERT_TRUE(view.done.has_value());
  EXPECT_EQ(view.done->error().reason, "CREDIT_IGNORED");
}

TEST(RpcStream, CancelReachesTheServerAndSilencesTheClient) {
  Streams pair;
  bool cancelled = false;
  pair.on_open = [&](const std::shared_ptr<ServerStream>& stream) {
    stream->set_handlers({}, {}, [&cancelled, stream] { cancelled = true; }, {});
  };
  Client view;
  const auto stream = pair.open_exec(view);
  EXPECT_TRUE(pair.served[0]->send("unread"));
  stream->cancel();
  pair.loop.run_ready();
  EXPECT_TRUE(cancelled);
  EXPECT_TRUE(view.chunks.empty());
  EXPECT_FALSE(view.done.has_value());
  EXPECT_EQ(pair.served[0]->send("x").error().code, Code::kCancelled);
  const std::weak_ptr<ServerStream> weak = pair.served[0];
  pair.served.clear();
  EXPECT_TRUE(weak.expired()) << "handlers that hold their own stream are dropped";
}

TEST(RpcStream, AnswersWhenTheHandlerDropsIt) {
  Streams pair;
  pair.on_open = [&](const auto&) { pair.served.clear(); };
  Client view;
  const auto stream = pair.open_exec(view);
  ASSERT_TRUE(view.done.has_value());
  EXPECT_EQ(view.done->error().code, Code::kInternal);
}

TEST(RpcStream, DisconnectCancelsServedAndFailsOpened) {
  Streams pair;
  bool cancelled = false;
  pair.on_open = [&](const std::shared_ptr<ServerStream>& stream) {
    stream->set_handlers({}, {}, [&] { cancelled = true; }, {});
  };
  Client view;
  const auto stream = pair.open_exec(view);
  pair.server.disconnect("gone");
  pair.client.disconnect("gone");
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(view.done->error().code, Code::kUnavailable);
  pair.served[0]->finish(Body{});
  pair.loop.run_ready();
  EXPECT_EQ(stream->send("x").error().code, Code::kCancelled);
}

TEST(RpcStream, OutlivesItsEndpointHarmlessly) {
  testing::ManualLoop loop;
  MethodTable table;
  Client view;
  std::shared_ptr<ClientStream> stream;
  {
    RpcEndpoint endpoint(loop, table, [](std::string, std::string) { return ok(); });
    stream = endpoint.open("runtime/oci", kExec, {}, {.deadline = 1s}, view.handlers());
  }
  EXPECT_EQ(stream->send("x").error().code, Code::kCancelled);
  stream->end();
  stream->cancel();
  loop.advance(2s);
  EXPECT_FALSE(view.done.has_value());
}

TEST(RpcStream, TimesOut) {
  Streams pair;
  Client view;
  const auto stream =
      pair.client.open("runtime/oci", kExec, {}, {.deadline = 2s}, view.handlers());
  pair.loop.advance(2s);
  EXPECT_EQ(view.done->error().code, Code::kTimeout);
}

}  // namespace
}  // namespace skep::rpc
