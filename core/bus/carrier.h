#pragma once

// A carrier moves frames between the router and connections of one sort. Loop thread only.

#include <functional>
#include <string>

#include "core/bus/router.h"

namespace skep::bus {

/// Bytes that wait for one slow participant at most; then its connection ends.
inline constexpr std::size_t kPeerOutputMax = std::size_t{32} << 20;

/// What a carrier reports. Never from within send() or close().
struct CarrierEvents {
  std::function<PeerId()> next_id;
  std::function<void(PeerId, PeerFacts)> on_opened;
  std::function<void(PeerId, const std::string& header, std::string body)> on_frame;
  std::function<void(PeerId, const std::string& why)> on_closed;
};

class Carrier {
 public:
  virtual ~Carrier() = default;
  /// A connection that cannot take it ends (on_closed). Unknown peers are ignored.
  virtual void send(PeerId to, const std::string& header, const std::string& body) = 0;
  /// Forgets the connection after what was sent; no on_closed.
  virtual void close(PeerId peer) = 0;
};

}  // namespace skep::bus
