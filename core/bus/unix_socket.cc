#include "core/bus/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "skep/posix_env.h"

namespace skep::bus {
namespace {

constexpr int kBacklog = 128;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return Error{Code::kInvalidArgument, "socket path '" + path + "' is empty or too long"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<Fd> stream_socket() {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return errno_error(errno, "socket");
  }
  return fd;
}

/// 0 or an errno.
int try_connect(int fd, const sockaddr_un& address) {
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
}

Status make_room(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (::lstat(address.sun_path, &info) != 0) {
    return errno == ENOENT ? ok() : Status(errno_error(errno, path + ": stat"));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return Error{Code::kAlreadyExists, "'" + path + "' is in the way and no socket: remove it",
                 "NOT_A_SOCKET"};
  }
  SKEP_TRY_ASSIGN(const Fd probe, stream_socket());
  const int error = try_connect(probe.get(), address);
  if (error == ECONNREFUSED) {
    return ::unlink(address.sun_path) == 0 ? ok() : Status(errno_error(errno, path + ": remove"));
  }
  return Error{Code::kAlreadyExists,
               "another process listens on '" + path +
                   "': stop it, or give this agent another --root",
               "SOCKET_IN_USE"};
}

}  // namespace

void Fd::reset(int fd) {
  if (fd_ >= 0) {
    ::close(fd_);
  }
  fd_ = fd;
}

Result<ShortPath> shorten_socket_path(const std::string& path) {
  if (path.size() < sizeof(sockaddr_un::sun_path)) {
    return ShortPath{.text = path};
  }
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) {
    return Error{Code::kInvalidArgument, "socket name '" + path + "' is too long"};
  }
  const std::string directory = path.substr(0, slash);
  Fd fd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) {
    return errno_error(errno, directory + ": open");
  }
  auto text = "/proc/self/fd/" + std::to_string(fd.get()) + path.substr(slash);
  return ShortPath{.text = std::move(text), .directory = std::move(fd)};
}

Result<Fd> listen_unix(const std::string& path, int mode) {
  SKEP_TRY_ASSIGN(const ShortPath shortened, shorten_socket_path(path));
  SKEP_TRY_ASSIGN(const sockaddr_un address, address_of(shortened.text));
  SKEP_TRY(make_room(path, address));
  SKEP_TRY_ASSIGN(Fd fd, stream_socket());
  // The file's first mode comes from the inode of the fd: nobody can connect before chmod.
  if (::fchmod(fd.get(), static_cast<mode_t>(mode)) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return errno_error(errno, path + ": bind");
  }
  if (::chmod(address.sun_path, static_cast<mode_t>(mode)) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return errno_error(errno, path + ": listen");
  }
  return fd;
}

void remove_socket_file(const std::string& path) {
  if (const auto shortened = shorten_socket_path(path)) {
    ::unlink(shortened->text.c_str());
  }
}

Result<Fd> connect_unix(const std::string& path) {
  SKEP_TRY_ASSIGN(const ShortPath shortened, shorten_socket_path(path));
  SKEP_TRY_ASSIGN(const sockaddr_un address, address_of(shortened.text));
  SKEP_TRY_ASSIGN(Fd fd, stream_socket());
  const int error = try_connect(fd.get(), address);
  if (error == 0) {
    return fd;
  }
  if (error == EACCES || error == EPERM) {
    return Error{Code::kPermissionDenied, "no permission to open '" + path + "': try with sudo"};
  }
  if (error == EAGAIN) {
    return Error{Code::kUnavailable, "'" + path + "' has too many connections waiting"};
  }
  return Error{Code::kUnavailable,
               "nobody listens on '" + path + "' (" + std::strerror(error) + ")", "NOT_RUNNING"};
}

Result<PeerCredentials> peer_credentials(int fd) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return errno_error(errno, "peer credentials");
  }
  return PeerCredentials{credentials.uid, credentials.gid, credentials.pid};
}

}  // namespace skep::bus
