#pragma once

// Calls to the cores of other nodes. core/link makes it of mutually authenticated TLS streams, the
// simulator of its seeded network. Loop thread only.

#include <cstdint>
#include <functional>
#include <string>

#include "core/bus/https_client.h"
#include "skep/rpc.h"

namespace skep::bus {

class Peers {
 public:
  virtual ~Peers() = default;
  /// Makes calls to the node with that id, reached at `address` ("HOST:PORT"); the target of every
  /// call is "core". The other side must prove by its certificate that it is this node. Connects on
  /// the first call and again after a break; without a connection a call answers kUnavailable
  /// "NODE_UNREACHABLE" (surely not delivered) within 5 s, and one whose connection broke
  /// kUnavailable "CONNECTION_LOST" (unknown whether delivered). The reference stays valid as long
  /// as Peers does; a new address for a known id counts from the next connection on.
  virtual rpc::Caller& to(const std::string& node_id, const std::string& address) = 0;
  /// Closes the connections to and from that node and refuses new ones from it until allowed again:
  /// it was removed from the swarm, of which this is the incarnation (it is told).
  virtual void refuse(const std::string& node_id, bool refused, std::uint64_t incarnation) = 0;
  /// Called from the loop whenever the last connection to or from a node broke or closed.
  virtual void set_on_gone(std::function<void(const std::string& node_id)> on_gone) = 0;
  /// For servers outside the swarm, to which this node shows its certificate; as long as Peers. nullptr: none
  /// can be reached.
  virtual HttpsClient* https() { return nullptr; }
};

}  // namespace skep::bus
