#include "plugins/runtime/oci/container/root_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>

#include "skep/posix_env.h"

namespace skep::oci {
namespace {

constexpr std::size_t kTextMax = 10 << 20;

}  // namespace

Result<UniqueFd> open_in_root(const std::string& root, const std::string& path, int flags) {
  const UniqueFd directory(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) {
    return errno_error(errno, root + ": open");
  }
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 0; attempt < 16; ++attempt) {
    UniqueFd fd(static_cast<int>(
        ::syscall(SYS_openat2, directory.get(), path.c_str(), &how, sizeof(how))));
    if (fd.valid()) {
      return fd;
    }
    if (errno != EAGAIN && errno != EINTR) {  // EAGAIN: something was renamed during the walk
      break;
    }
  }
  return errno_error(errno, "'" + path + "' in the container: open");
}

Result<std::string> read_in_root(const std::string& root, const std::string& path) {
  auto fd = open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd) {
    return fd.error().code == Code::kNotFound ? Result<std::string>(std::string())
                                              : Result<std::string>(std::move(fd).error());
  }
  struct stat info {};
  if (::fstat(fd->get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return Error{Code::kInvalidArgument, "'" + path + "' in the image is not a regular file",
                 "BAD_IMAGE_FILE"};
  }
  std::string text;
  std::array<char, 64 * 1024> buffer;
  for (;;) {
    const ssize_t got = ::read(fd->get(), buffer.data(), buffer.size());
    if (got < 0) {
      return errno_error(errno, "'" + path + "' in the container: read");
    }
    if (got == 0) {
      return text;
    }
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > kTextMax) {
      return Error{Code::kInvalidArgument, "'" + path + "' in the image is larger than 10 MiB",
                   "BAD_IMAGE_FILE"};
    }
  }
}

}  // namespace skep::oci
