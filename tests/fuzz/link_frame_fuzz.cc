// Any bytes on the wire of a link: as the other side of TLS that never gets to speak, and, since TLS
// keeps strangers out, as frames of a node that is proven. Nothing may crash; a stranger opens nothing,
// and a proven node calls only what its role allows.

#include <cstdint>

#include "core/bus/frame_codec.h"
#include "core/link/authorise.h"
#include "core/link/tls.h"
#include "skep/log.h"
#include "skep/rpc_endpoint.h"

namespace {

namespace link = skep::link;
constexpr skep::WallTime kNow = 1'800'000'000'000'000'000;

std::shared_ptr<const link::TlsContext> context() {
  static const auto made = [] {
    const auto root = *link::make_root(kNow);
    const auto request = *link::make_request();
    const auto certificate = *link::sign_request(root, request.request, {"m1", link::Role::kManager, "c1"}, kNow,
                                                 link::kCertificateLife);
    return *link::TlsContext::make({{certificate, request.key}, root.certificate, "c1", "m1"});
  }();
  return made;
}

void as_stranger(std::string_view input, bool accepted, std::size_t piece) {
  const auto session = link::TlsSession::make(context(), accepted);
  SKEP_ASSERT(session, "a session can always begin");
  std::string plain;
  std::string to_wire;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    if (!(*session)->receive(input.substr(at, piece), plain, to_wire)) {
      break;
    }
  }
  SKEP_ASSERT(plain.empty() && !(*session)->established(), "a stranger without a key opens nothing");
}

void as_node(std::string_view input, std::size_t piece) {
  skep::bus::FrameParser parser;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    std::vector<skep::bus::FrameParser::Frame> frames;
    const auto status = parser.feed(input.substr(at, piece), frames);
    for (const auto& frame : frames) {
      const auto header = skep::rpc::parse_header(frame.header);
      if (!header) {
        continue;
      }
      const bool worker = bool(link::authorise(link::Identity{"w", link::Role::kWorker, "c1"}, header->method()));
      const bool locked = bool(link::authorise(link::Identity{"m", link::Role::kLockedManager, "c1"}, header->method()));
      const bool joiner = bool(link::authorise(std::nullopt, header->method()));
      const std::string& method = header->method();
      SKEP_ASSERT(!worker || method.starts_with("dispatch/1/") || method == "ca/1/get_root" || method == "ca/1/renew" ||
                      method == "manager/1/check_member",
                  "a worker may nothing else");
      SKEP_ASSERT(!locked || method.starts_with("dispatch/1/") || method == "ca/1/get_root",
                  "a locked manager may nothing else");
      SKEP_ASSERT(!joiner || method == "ca/1/get_root" || method == "ca/1/issue", "a joiner may nothing else");
    }
    if (!status) {
      break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  skep::log::set_level(skep::LogLevel::kError);
  if (size == 0) {
    return 0;
  }
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece = std::max<std::size_t>(1, data[0] >> 1U);
  as_stranger(input, (data[0] & 1U) != 0, piece);
  as_node(input, piece);
  return 0;
}
