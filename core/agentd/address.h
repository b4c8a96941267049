#pragma once

// At which address a node listens, and which one it tells the others. People give an IP, an interface or
// nothing, with or without a port, for either; what is not given follows from the other, as in Swarm.

#include <string>
#include <vector>

#include "skep/result.h"

namespace skep::agentd {

struct InterfaceAddress {
  std::string interface;
  std::string address;
  bool ipv6 = false;
  bool special = false;  ///< on 'lo', or on what a container tool made: may be named, is never chosen
};

/// The addresses of this machine that others may reach: up, not 127.0.0.1 and the like, not link-local.
Result<std::vector<InterfaceAddress>> machine_addresses();

/// As given: "", "IP", "IP:PORT", "INTERFACE", "INTERFACE:PORT"; ":PORT" too.
struct WantedAddresses {
  std::string advertise;
  std::string listen;
  std::string towards;  ///< our address on the way to the manager that is joined; empty: there is none
};
/// "IP:PORT" each.
struct NodeAddresses {
  std::string advertise;
  std::string listen;
};

/// Advertised is what was given, else the address listened on, else `towards`, else the only address there
/// is, else 127.0.0.1. Listened on is what was given, else every address (only the advertised one when that is
/// loopback). A port given for one counts for the other. kInvalidArgument BAD_ADDRESS, with what to give
/// instead: nobody can reach it (0.0.0.0, multicast, loopback where others are to come), it is not ours (unless
/// --listen-addr says where packets arrive: an address may be translated), the port is none; SEVERAL_ADDRESSES.
Result<NodeAddresses> choose_node_addresses(const WantedAddresses& wanted,
                                            const std::vector<InterfaceAddress>& ours);
/// The address of this machine that packets to `host` leave from; empty when that cannot be told.
std::string address_towards(const std::string& host);

}  // namespace skep::agentd
