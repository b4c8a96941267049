// Bulk streams and everything else share one connection per plugin: what a small call or a heartbeat waits
// behind is bounded in bytes, so no second connection is needed. See core/bus/README.md.

#include "bus_fixture.h"
#include "skep/runtime.methods.h"

namespace skep::bus {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kStreams = 8;
constexpr std::size_t kBound = kStreams * rpc::kWindow;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kRounds = 3;  // chunks of this size cost a sanitizer's allocator milliseconds
#else
constexpr int kRounds = 30;
#endif

/// Streams between the core and a plugin behind bus.sock, filled in both directions as fast as credit allows.
struct Fairness : BusTest {
  void flood(Plugin& plugin) {
    plugin.table.set(std::string(runtime::v1::methods::Exec::kName),
                     {.unary = {}, .stream = [this](const rpc::Body&, std::shared_ptr<rpc::ServerStream> stream) {
                        stream->set_handlers([this](const rpc::Body& chunk) { up += chunk.size(); }, {}, {},
                                             [stream] { fill(*stream); });
                        fill(*stream);
                        served.push_back(std::move(stream));
                      }});
    for (std::size_t i = 0; i < kStreams; ++i) {
      auto slot = std::make_shared<std::shared_ptr<rpc::ClientStream>>();
      *slot = bus->caller().open("volume/local", runtime::v1::methods::Exec::kName, {}, {.deadline = 0ms},
                                 {.on_chunk = [this](const rpc::Body& chunk) { down += chunk.size(); },
                                  .on_done = [](const auto&) {},
                                  .on_writable = [weak = std::weak_ptr(slot)] {
                                    if (const auto stream = weak.lock()) {
                                      fill(**stream);
                                    }
                                  }});
      opened.push_back(slot);
      fill(**slot);
    }
  }
  template <class Stream>
  static void fill(Stream& stream) {
    while (stream.send(rpc::Body(rpc::kChunkMax, 'x'))) {
    }
  }
  void end_streams() {
    for (const auto& stream : served) {
      stream->finish(rpc::Body{});
    }
    served.clear();
  }

  std::size_t up = 0;
  std::size_t down = 0;
  std::vector<std::shared_ptr<rpc::ServerStream>> served;
  std::vector<std::shared_ptr<std::shared_ptr<rpc::ClientStream>>> opened;
};

TEST_F(Fairness, ASmallCallWaitsBehindAtMostOneWindowOfEachStream) {
  start(options());
  Plugin plugin(loop, std::make_shared<ZmqContext>(), bus->ipc_endpoint());
  ASSERT_TRUE(plugin.link.start());
  ASSERT_TRUE(run_until([&] { return plugin.welcomes == 1; }));
  flood(plugin);
  for (int i = 0; i < kRounds; ++i) {
    ASSERT_TRUE(run_until([&, target = down + kBound] { return down >= target; })) << "the streams flow on";
    const std::size_t before = down;
    std::optional<std::size_t> passed;
    rpc::call<volume::v1::methods::Get>(bus->caller(), "volume/local", {}, {}, [&](const auto& reply) {
      EXPECT_TRUE(reply);
      passed = down - before;
    });
    ASSERT_TRUE(run_until([&] { return passed.has_value(); }));
    EXPECT_LE(*passed, kBound);
  }
  EXPECT_GT(up, kRounds / 3 * kBound) << "in both directions";
  end_streams();
}

TEST_F(Fairness, AHeartbeatWaitsBehindAtMostOneWindowOfEachStream) {
  auto router = accept_everybody();
  router.heartbeat = 10ms;
  router.suspect_after = 1000;  // only what stands between PING and PONG is looked at here
  router.gone_after = 2000;
  start(options(router));
  Plugin plugin(loop, std::make_shared<ZmqContext>(), bus->ipc_endpoint());
  ASSERT_TRUE(plugin.link.start());
  ASSERT_TRUE(run_until([&] { return plugin.welcomes == 1; }));
  std::optional<std::size_t> pinged;
  std::size_t passed = 0;
  std::size_t worst = 0;
  int pongs = 0;
  bus->add_tap([&](const TraceFrame& frame) {
    if (frame.incoming && frame.participant == "local") {
      passed += frame.body.size();
    }
    if (!frame.incoming && frame.header.type() == v1::PING && !pinged) {
      pinged = passed;
    } else if (frame.incoming && frame.header.type() == v1::PONG && pinged) {
      worst = std::max(worst, passed - *pinged);
      pinged.reset();
      ++pongs;
    }
  });
  flood(plugin);
  ASSERT_TRUE(run_until([&] { return down > kRounds * kBound && pongs >= 3; }, 60s));
  EXPECT_LE(worst, kBound);
  end_streams();
}

}  // namespace
}  // namespace skep::bus
