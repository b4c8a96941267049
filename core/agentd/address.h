#pragma once

// Which address a node tells the others. People give an IP, an interface or nothing, with or without
// a port.

#include <string>
#include <vector>

#include "skep/result.h"

namespace skep::agentd {

struct InterfaceAddress {
  std::string interface;
  std::string address;
  bool ipv6 = false;
};

/// The addresses of this machine that others may reach: up, not loopback, not link-local, no device
/// that a container tool made.
Result<std::vector<InterfaceAddress>> machine_addresses();

/// "HOST:PORT" to advertise. `given`: "", "IP", "IP:PORT", "IFACE" or "IFACE:PORT". With several
/// addresses and nothing given: kInvalidArgument that lists them; with none: 127.0.0.1.
Result<std::string> choose_advertise_address(const std::string& given,
                                             const std::vector<InterfaceAddress>& addresses);

/// "IP:PORT" to listen on. `given` as above; with nothing given all addresses, but only the advertised
/// one when that is a loopback address, which nobody else reaches anyway.
Result<std::string> choose_listen_address(const std::string& given, const std::string& advertise,
                                          const std::vector<InterfaceAddress>& addresses);
/// The address of this machine that packets to `host` leave from; empty when that cannot be told.
std::string address_towards(const std::string& host);

}  // namespace skep::agentd
