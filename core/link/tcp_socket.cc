#include "core/link/tcp_socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "skep/posix_env.h"

namespace skep::link {
namespace {

constexpr int kBacklog = 1024;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Address> ip_address(const HostPort& from) {
  Address out;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (::inet_pton(AF_INET, from.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(from.port);
    out.size = sizeof(sockaddr_in);
    return out;
  }
  if (::inet_pton(AF_INET6, from.host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(from.port);
    out.size = sizeof(sockaddr_in6);
    return out;
  }
  return Error{Code::kInvalidArgument, "'" + from.host + "' is no IP address", "BAD_ADDRESS"};
}

std::string text_of(const Address& address) {
  char host[INET6_ADDRSTRLEN] = {};
  const bool v6 = address.storage.ss_family == AF_INET6;
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
  const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
  ::inet_ntop(address.storage.ss_family,
              v6 ? static_cast<const void*>(&in6->sin6_addr) : static_cast<const void*>(&v4->sin_addr),
              host, sizeof(host));
  return to_text({host, ntohs(v6 ? in6->sin6_port : v4->sin_port)});
}

Result<bus::Fd> tcp_socket(int family) {
  bus::Fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return errno_error(errno, "socket");
  }
  return fd;
}

void send_at_once(int fd) {
  const int on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

Error unreachable(const std::string& why) { return Error{Code::kUnavailable, why, "NODE_UNREACHABLE"}; }

}  // namespace

Result<HostPort> parse_host_port(const std::string& text, std::uint16_t default_port) {
  HostPort out{text, default_port};
  const auto bad = [&](const char* why) {
    return Error{Code::kInvalidArgument, "'" + text + "' is no address: " + why + "; write HOST:PORT",
                 "BAD_ADDRESS"};
  };
  in6_addr buffer{};
  const auto colon = text.rfind(':');
  if (::inet_pton(AF_INET6, text.c_str(), &buffer) != 1 && colon != std::string::npos &&
      text.back() != ']') {
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, out.port);
    if (error != std::errc{} || rest != end) {
      return bad("the port is no number below 65536");
    }
    out.host = text.substr(0, colon);
  }
  if (out.host.size() > 2 && out.host.front() == '[' && out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  if (out.host.empty() || out.host.size() > 253 ||
      out.host.find_first_of(" \t\r\n/@[]") != std::string::npos) {
    return bad("the host is missing or malformed");
  }
  return out;
}

std::string to_text(const HostPort& address) {
  const bool ipv6 = address.host.find(':') != std::string::npos;
  return (ipv6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

Result<bus::Fd> listen_tcp(const HostPort& address) {
  SKEP_TRY_ASSIGN(const Address to, ip_address(address));
  SKEP_TRY_ASSIGN(bus::Fd fd, tcp_socket(to.storage.ss_family));
  const int on = 1;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&to.storage), to.size) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    const std::string where = to_text(address);
    if (errno == EADDRINUSE) {
      return Error{Code::kAlreadyExists,
                   "another program listens on " + where + ": stop it or give another --listen-addr",
                   "ADDRESS_IN_USE"};
    }
    if (errno == EADDRNOTAVAIL) {
      return Error{Code::kInvalidArgument, where + " is no address of this machine: see 'ip address'",
                   "NOT_OUR_ADDRESS"};
    }
    return errno_error(errno, "listen on " + where);
  }
  return fd;
}

Result<std::uint16_t> bound_port(int fd) {
  Address own;
  own.size = sizeof(own.storage);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own.storage), &own.size) != 0) {
    return errno_error(errno, "getsockname");
  }
  return ntohs(own.storage.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(&own.storage)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(&own.storage)->sin_port);
}

Result<bus::Fd> accept_tcp(int listener, std::string& peer) {
  Address from;
  from.size = sizeof(from.storage);
  bus::Fd fd(::accept4(listener, reinterpret_cast<sockaddr*>(&from.storage), &from.size,
                       SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      return Error{Code::kResourceExhausted, std::strerror(errno)};
    }
    return bus::Fd();  // nobody waits, or who did is gone
  }
  send_at_once(fd.get());
  peer = text_of(from);
  return fd;
}

Result<std::vector<std::string>> TcpConnect::resolve(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  std::vector<std::string> out;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    char text[INET6_ADDRSTRLEN] = {};
    if (::getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) == 0) {
      out.emplace_back(text);
    }
  }
  if (found != nullptr) {
    ::freeaddrinfo(found);
  }
  if (out.empty()) {
    return Error{Code::kUnavailable,
                 "'" + host + "' cannot be resolved: " + (error != 0 ? ::gai_strerror(error) : "it has no address"),
                 "NAME_NOT_RESOLVED"};
  }
  return out;
}

struct TcpConnect::State : std::enable_shared_from_this<State> {
  State(Env& e, HostPort a, Done d) : env(e), address(std::move(a)), done(std::move(d)) {}
  void begin(const Result<std::vector<std::string>>& hosts);
  void next(Error why);
  Status connect(const std::string& host);
  void ready();
  void finish(Result<bus::Fd> result);
  void release() {
    env.loop.unwatch(std::exchange(watch, 0));
    env.loop.cancel_timer(std::exchange(timer, 0));
  }
  void give_up_at(TimePoint when);
  Env& env;
  const HostPort address;
  Done done;
  TimePoint deadline{};
  std::vector<std::string> left;  // addresses to try, the next one last
  std::string tried;              // the present one, when the name has several
  bus::Fd fd;
  WatchId watch = 0;
  TimerId timer = 0;
};

void TcpConnect::State::finish(Result<bus::Fd> result) {
  release();
  if (auto call = std::exchange(done, nullptr)) {
    call(std::move(result));
  }
}

void TcpConnect::State::give_up_at(TimePoint when) {
  env.loop.cancel_timer(timer);
  timer = env.loop.run_after(std::max(when - env.clock.now(), Duration(0)), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->timer = 0;
      self->next(unreachable(to_text(self->address) + self->tried + ": no answer in time"));
    }
  });
}

void TcpConnect::State::begin(const Result<std::vector<std::string>>& hosts) {
  if (!done) {
    return;
  }
  if (!hosts) {
    return finish(hosts.error());
  }
  left.assign(hosts->begin(), hosts->begin() + static_cast<std::ptrdiff_t>(std::min(hosts->size(), kAddressesMax)));
  std::reverse(left.begin(), left.end());
  tried = left.size() > 1 ? " " : "";
  next(unreachable(to_text(address) + ": it has no address"));
}

/// The address before failed for `why`.
void TcpConnect::State::next(Error why) {
  release();
  fd = bus::Fd();
  while (!left.empty()) {
    const std::string host = std::move(left.back());
    left.pop_back();
    if (!tried.empty()) {
      tried = " (" + host + ")";
    }
    if (auto begun = connect(host); !begun) {
      why = std::move(begun).error();
      continue;
    }
    const TimePoint now = env.clock.now();
    return give_up_at(now + (deadline - now) / static_cast<std::int64_t>(left.size() + 1));
  }
  finish(std::move(why));
}

Status TcpConnect::State::connect(const std::string& host) {
  const auto to = ip_address({host, address.port});
  if (!to) {
    return unreachable(to_text(address) + tried + ": " + to.error().message);
  }
  SKEP_TRY_ASSIGN(fd, tcp_socket(to->storage.ss_family));
  send_at_once(fd.get());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to->storage), to->size) != 0 && errno != EINPROGRESS) {
    return unreachable(to_text(address) + tried + ": " + std::strerror(errno));
  }
  watch = env.loop.watch_writable(fd.get(), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->ready();
    }
  });
  return ok();
}

void TcpConnect::State::ready() {
  int error = 0;
  socklen_t size = sizeof(error);
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
    error = errno;
  }
  if (error != 0) {
    return next(unreachable(to_text(address) + tried + ": " + std::strerror(error)));
  }
  release();
  finish(std::move(fd));
}

TcpConnect::TcpConnect(Env& env, const HostPort& address, Duration limit, Done done, Resolve resolve)
    : state_(std::make_shared<State>(env, address, std::move(done))) {
  const std::weak_ptr<State> weak = state_;
  state_->deadline = env.clock.now() + limit;
  state_->give_up_at(state_->deadline);
  if (ip_address(address)) {
    env.loop.post([weak, host = address.host] {
      if (const auto state = weak.lock()) {
        state->begin(std::vector<std::string>{host});
      }
    });
    return;
  }
  auto found = std::make_shared<Result<std::vector<std::string>>>(Error{Code::kInternal, "not resolved"});
  const auto queued =
      env.workers.run([found, host = address.host, resolve = std::move(resolve)] { *found = resolve(host); },
                      [weak, found] {
                        if (const auto state = weak.lock()) {
                          state->begin(*found);
                        }
                      });
  if (!queued) {
    env.loop.post([weak, error = queued.error()] {
      if (const auto state = weak.lock()) {
        state->finish(error);
      }
    });
  }
}

TcpConnect::~TcpConnect() {
  state_->done = nullptr;
  state_->release();
}

}  // namespace skep::link
