// Any bytes as what a peer sends: cut into frames, headers parsed, then given to a router (as a
// connection that may say HELLO) and to an endpoint that serves a call and a stream. Nothing may
// crash or grow beyond its limits, a header that was accepted is accepted again, and the router
// never lets the principal of the wire through. The first byte is the size of the pieces that
// arrive at a time.

#include <cstdint>

#include "core/bus/frame_codec.h"
#include "core/bus/router.h"
#include "skep/log.h"
#include "skep/rpc_endpoint.h"
#include "skep/runtime.methods.h"
#include "skep/testing/manual_env.h"
#include "skep/volume.methods.h"

namespace {

namespace bus = skep::bus;
namespace rpc = skep::rpc;

constexpr bus::PeerId kPeer = 1;

void check(bool claim, const char* why) {
  SKEP_ASSERT(claim, why);
}

/// Everything behind one connection.
struct Agent {
  Agent()
      : router({.inflight_max = 8,
                .waiting_max = 8,
                .calls_max = 16,
                .admit = [](const bus::PeerFacts&, const bus::v1::Hello&)
                    -> skep::Result<bus::v1::Welcome> { return bus::v1::Welcome(); }}),
        endpoint(loop, table, [](const std::string&, const std::string&) { return skep::ok(); },
                 {.served_max = 8}) {
    table.on_sync<skep::volume::v1::methods::Get>(
        [](const auto&) -> skep::Result<skep::volume::v1::GetResponse> {
          return skep::volume::v1::GetResponse();
        });
    table.on_stream<skep::runtime::v1::methods::Exec>(
        [](const auto&, rpc::TypedServerStream<skep::runtime::v1::methods::Exec> stream) {
          const auto raw = stream.raw();
          raw->set_handlers([raw](rpc::Body chunk) { (void)raw->send(std::move(chunk)); },
                            [raw] { raw->finish(rpc::Body{}); }, [] {}, [] {});
        });
    bus::Effects effects;
    bus::PeerFacts facts;
    facts.principal.set_kind("local");
    router.on_opened(kPeer, facts, {}, effects);
  }

  void on_frame(const bus::FrameParser::Frame& frame) {
    endpoint.on_frame(frame.header, frame.body);
    loop.run_ready();
    check(endpoint.stats().served <= 8, "the endpoint answers at most what it was told");
    const auto header = rpc::parse_header(frame.header);
    if (!header) {
      return;
    }
    check(bool(rpc::parse_header(header->SerializeAsString())), "an accepted header stays one");
    bus::Effects effects;
    router.on_frame(kPeer, *header, frame.body, {}, effects);
    for (const auto& effect : effects) {
      const auto* const send = std::get_if<bus::Send>(&effect);
      if (send != nullptr && send->to == bus::kCorePeer && rpc::opens_call(send->header.type())) {
        check(send->header.principal().kind() != "core", "nobody becomes the core by saying so");
        check(send->header.source() != "core", "the source is set by the router");
      }
    }
    check(router.open_calls() <= 16, "one caller has at most so many calls");
  }

  skep::testing::ManualLoop loop;
  rpc::MethodTable table;
  bus::Router router;
  rpc::RpcEndpoint endpoint;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  skep::log::set_level(skep::LogLevel::kError);
  if (size == 0) {
    return 0;
  }
  const std::size_t piece = std::max<std::size_t>(1, data[0]);
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  Agent agent;
  bus::FrameParser parser;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    std::vector<bus::FrameParser::Frame> frames;
    const auto status = parser.feed(input.substr(at, piece), frames);
    check(parser.pending() <= input.size(), "the parser holds no more than it got");
    for (const auto& frame : frames) {
      agent.on_frame(frame);
    }
    if (!status) {
      break;
    }
  }
  agent.endpoint.disconnect("the input ended");
  agent.loop.run_ready();
  return 0;
}
