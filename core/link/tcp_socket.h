#pragma once

// TCP sockets of links: listening, accepting, connecting without waiting. All fds are non-blocking,
// close-on-exec, and send at once (TCP_NODELAY).

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/bus/unix_socket.h"
#include "skep/env.h"

namespace skep::link {

/// Managers listen here unless told otherwise.
inline constexpr std::uint16_t kManagementPort = 2377;

struct HostPort {
  std::string host;  ///< without brackets
  std::uint16_t port = 0;
};
/// "HOST:PORT", "[IPV6]:PORT", or a host alone, which gets `default_port`. kInvalidArgument BAD_ADDRESS.
Result<HostPort> parse_host_port(const std::string& text, std::uint16_t default_port);
std::string to_text(const HostPort& address);

/// Listens on an IP address. kAlreadyExists ADDRESS_IN_USE; kInvalidArgument NOT_OUR_ADDRESS.
Result<bus::Fd> listen_tcp(const HostPort& address);
/// The port really bound (tests listen on port 0).
Result<std::uint16_t> bound_port(int fd);
/// nullopt-like invalid Fd: nobody waits. kResourceExhausted: no file descriptors left.
Result<bus::Fd> accept_tcp(int listener, std::string& peer);

/// One attempt to connect to a machine. Destroying it gives up; `done` is then not called.
class TcpConnect {
 public:
  using Done = std::function<void(Result<bus::Fd>)>;
  /// The IP addresses of a name, best first. kUnavailable NAME_NOT_RESOLVED. Blocks; on a worker.
  using Resolve = std::function<Result<std::vector<std::string>>(const std::string& host)>;
  static Result<std::vector<std::string>> resolve(const std::string& host);
  static constexpr std::size_t kAddressesMax = 8;

  /// Tries the addresses of a name (at most kAddressesMax) in turn, each for its share of the time that is left.
  /// `done` comes once from the loop, never from here: kUnavailable with why (refused, no route, no answer within
  /// `limit`), of the last address.
  TcpConnect(Env& env, const HostPort& address, Duration limit, Done done, Resolve resolve = &TcpConnect::resolve);
  ~TcpConnect();
  TcpConnect(const TcpConnect&) = delete;
  TcpConnect& operator=(const TcpConnect&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace skep::link
