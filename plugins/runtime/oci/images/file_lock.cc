#include "plugins/runtime/oci/images/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "skep/posix_env.h"

namespace skep::oci {
namespace {

Result<OwnedFd> lock(const std::string& path, int operation) {
  OwnedFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) {
    return errno_error(errno, path + ": open");
  }
  while (::flock(fd.get(), operation) != 0) {
    if (errno == EWOULDBLOCK) {
      return Error{Code::kConflict, path + " is locked by somebody else"};
    }
    if (errno != EINTR) {
      return errno_error(errno, path + ": lock");
    }
  }
  return fd;
}

int operation_of(LockKind kind) {
  return kind == LockKind::kShared ? LOCK_SH : LOCK_EX;
}

}  // namespace

Result<FileLock> FileLock::wait(const std::string& path, LockKind kind) {
  SKEP_TRY_ASSIGN(OwnedFd fd, lock(path, operation_of(kind)));
  return FileLock(std::move(fd));
}

Result<FileLock> FileLock::try_now(const std::string& path, LockKind kind) {
  SKEP_TRY_ASSIGN(OwnedFd fd, lock(path, operation_of(kind) | LOCK_NB));
  return FileLock(std::move(fd));
}

}  // namespace skep::oci
