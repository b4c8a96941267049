#pragma once

// Unix stream sockets: listening, connecting, who is at the other end. All fds are non-blocking and
// close-on-exec. Paths may be longer than sun_path: they are reached through their directory's fd.

#include <cstdint>
#include <string>

#include "skep/result.h"

namespace skep::bus {

/// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset(other.release());
    }
    return *this;
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

/// A path that fits sun_path; valid while this object lives.
struct ShortPath {
  std::string text;
  Fd directory = {};  // open when text goes through /proc/self/fd
};
Result<ShortPath> shorten_socket_path(const std::string& path);

/// Listens on a new socket file of mode `mode`. A stale file (nobody listens) is replaced;
/// kAlreadyExists when somebody does listen or the path is no socket.
Result<Fd> listen_unix(const std::string& path, int mode);
/// Removes the socket file; nothing when there is none.
void remove_socket_file(const std::string& path);

/// kUnavailable when nobody listens there, kPermissionDenied when we may not.
Result<Fd> connect_unix(const std::string& path);

/// The process at the other end, as the kernel knows it (SO_PEERCRED).
struct PeerCredentials {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int32_t pid = 0;
};
Result<PeerCredentials> peer_credentials(int fd);

}  // namespace skep::bus
