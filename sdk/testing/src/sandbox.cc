#include "sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <thread>

#include "skep/posix_env.h"

namespace skep::testing {
namespace {

constexpr int kTries = 100;
constexpr int kTryMs = 100;  // between two datagrams

/// Closes what it holds.
struct Fd {
  explicit Fd(int number) : value(number) {}
  ~Fd() {
    if (value >= 0) {
      ::close(value);
    }
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int value;
};

/// Runs `work` on a thread that may leave its namespaces.
Status on_thread(const std::function<Status()>& work) {
  Status status = ok();
  std::thread([&] { status = work(); }).join();
  return status;
}

Status loopback_up() {
  const Fd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof(request.ifr_name) - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return any.value >= 0 && ::ioctl(any.value, SIOCSIFFLAGS, &request) == 0 ? ok() : errno_error(errno, "set lo up");
}

/// A UDP socket bound to `address` in the namespace `ns`; port 0 lets the kernel choose.
Result<int> bound_socket(int ns, const std::string& address) {
  int made = -1;
  SKEP_TRY(on_thread([&]() -> Status {
    if (::setns(ns, CLONE_NEWNET) != 0) {
      return errno_error(errno, "enter a network namespace");
    }
    made = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    if (::inet_pton(AF_INET, address.c_str(), &where.sin_addr) != 1) {
      return Error{Code::kInvalidArgument, "'" + address + "' is no IPv4 address"};
    }
    return ::bind(made, reinterpret_cast<const sockaddr*>(&where), sizeof(where)) == 0
               ? ok()
               : errno_error(errno, "bind to " + address + " inside the sandbox");
  }));
  return made;
}

}  // namespace

Sandbox::Sandbox(int fd)
    : fd_(fd), path_("/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd)) {}

Sandbox::~Sandbox() { ::close(fd_); }

Result<std::unique_ptr<Sandbox>> Sandbox::make() {
  int fd = -1;
  SKEP_TRY(on_thread([&]() -> Status {
    if (::unshare(CLONE_NEWNET) != 0) {
      return Error{Code::kPermissionDenied, "cannot make a network namespace: run this as root"};
    }
    fd = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? errno_error(errno, "/proc/thread-self/ns/net: open") : loopback_up();
  }));
  return std::unique_ptr<Sandbox>(new Sandbox(fd));
}

Result<std::vector<std::string>> Sandbox::addresses(const std::string& interface) const {
  std::vector<std::string> found;
  SKEP_TRY(on_thread([&]() -> Status {
    ifaddrs* all = nullptr;
    if (::setns(fd_, CLONE_NEWNET) != 0 || ::getifaddrs(&all) != 0) {
      return errno_error(errno, "list the interfaces of a sandbox");
    }
    for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
      if (one->ifa_addr != nullptr && one->ifa_addr->sa_family == AF_INET && interface == one->ifa_name) {
        char text[INET_ADDRSTRLEN] = {};
        ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr, text, sizeof(text));
        found.emplace_back(text);
      }
    }
    ::freeifaddrs(all);
    return ok();
  }));
  return found;
}

Status Sandbox::reaches(const std::string& from, const Sandbox& other, const std::string& to) const {
  SKEP_TRY_ASSIGN(const int sender_fd, bound_socket(fd_, from));
  const Fd sender(sender_fd);
  SKEP_TRY_ASSIGN(const int receiver_fd, bound_socket(other.fd_, to));
  const Fd receiver(receiver_fd);
  sockaddr_in where{};
  socklen_t size = sizeof(where);
  ::getsockname(receiver.value, reinterpret_cast<sockaddr*>(&where), &size);
  for (int i = 0; i < kTries; ++i) {  // the first ones may fall to a bridge that still learns
    ::sendto(sender.value, "skep", 4, 0, reinterpret_cast<const sockaddr*>(&where), size);
    pollfd arrived{.fd = receiver.value, .events = POLLIN, .revents = 0};
    if (::poll(&arrived, 1, kTryMs) == 1) {
      return ok();
    }
  }
  return Error{Code::kUnavailable, "no datagram from " + from + " reached " + to + " within 10 s"};
}

}  // namespace skep::testing
