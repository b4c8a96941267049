#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <vector>

#include "plugins/runtime/oci/container/root_path.h"
#include "skep/posix_env.h"

namespace skep::oci {
namespace {

constexpr int kDepthMax = 256;  // one open directory per level on each side

std::string path_of(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

struct DirCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

Result<std::vector<std::string>> names_in(int fd) {
  const int own = ::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) {
    return errno_error(errno, "volume: open directory");
  }
  const std::unique_ptr<DIR, DirCloser> directory(::fdopendir(own));
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") {
      names.push_back(name);
    }
  }
  return names;
}

/// Copies one directory tree by file descriptors only, so that no symlink is ever followed.
class TreeCopy {
 public:
  Status directory(int from, int to, const std::string& label, int depth) {
    if (depth > kDepthMax) {
      return Error{Code::kInvalidArgument, "'" + label + "' is nested deeper than 256 directories"};
    }
    SKEP_TRY_ASSIGN(const auto names, names_in(from));
    for (const std::string& name : names) {
      SKEP_TRY(entry(from, to, name, label + "/" + name, depth));
    }
    struct stat info {};
    if (::fstat(from, &info) != 0) {
      return errno_error(errno, label + ": stat");
    }
    return apply(from, to, info, label);
  }

 private:
  using Inode = std::pair<dev_t, ino_t>;

  static Error conflict(const std::string& label) {
    if (errno == EEXIST) {
      return Error{Code::kConflict, "'" + label + "' appeared in the volume while it was filled"};
    }
    return errno_error(errno, "fill volume with '" + label + "'");
  }

  Status entry(int from, int to, const std::string& name, const std::string& label, int depth) {
    struct stat info {};
    if (::fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return errno_error(errno, label + ": stat");
    }
    const Inode inode{info.st_dev, info.st_ino};
    const bool hard_link = info.st_nlink > 1 && !S_ISDIR(info.st_mode);
    if (const auto known = linked_.find(inode); hard_link && known != linked_.end()) {
      return ::linkat(AT_FDCWD, path_of(known->second.get()).c_str(), to, name.c_str(),
                      AT_SYMLINK_FOLLOW) == 0
                 ? ok()
                 : Status(conflict(label));
    }
    SKEP_TRY(copy(from, to, name, label, info, depth));
    if (hard_link && linked_.size() < kLinksMax) {
      linked_[inode] = UniqueFd(::openat(to, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    }
    return ok();
  }

  Status copy(int from, int to, const std::string& name, const std::string& label,
              const struct stat& info, int depth) {
    if (S_ISDIR(info.st_mode)) {
      const UniqueFd source(::openat(from, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!source.valid() || ::mkdirat(to, name.c_str(), 0700) != 0) {
        return conflict(label);
      }
      const UniqueFd target(::openat(to, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      return target.valid() ? directory(source.get(), target.get(), label, depth + 1)
                            : Status(errno_error(errno, label + ": open"));
    }
    if (S_ISREG(info.st_mode)) {
      return regular(from, to, name, label, info);
    }
    if (S_ISLNK(info.st_mode)) {
      std::array<char, 4097> text{};
      const ssize_t size = ::readlinkat(from, name.c_str(), text.data(), text.size() - 1);
      if (size < 0 || ::symlinkat(text.data(), to, name.c_str()) != 0) {
        return conflict(label);
      }
    } else if (::mknodat(to, name.c_str(), info.st_mode, info.st_rdev) != 0) {
      return conflict(label);
    }
    const std::array<timespec, 2> times{info.st_atim, info.st_mtim};
    if (::fchownat(to, name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) != 0 ||
        ::utimensat(to, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
      return errno_error(errno, label + ": set owner and times");
    }
    return ok();
  }

  Status regular(int from, int to, const std::string& name, const std::string& label,
                 const struct stat& info) {
    const UniqueFd source(::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    const UniqueFd target(
        ::openat(to, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!source.valid() || !target.valid()) {
      return conflict(label);
    }
    std::array<char, 128 * 1024> buffer;
    for (;;) {
      const ssize_t got = ::read(source.get(), buffer.data(), buffer.size());
      if (got == 0) {
        return apply(source.get(), target.get(), info, label);
      }
      for (ssize_t done = 0; got > 0 && done < got;) {
        const ssize_t put = ::write(target.get(), buffer.data() + done,
                                    static_cast<std::size_t>(got - done));
        if (put < 0) {
          return errno_error(errno, "fill volume with '" + label + "'");
        }
        done += put;
      }
      if (got < 0) {
        return errno_error(errno, label + ": read");
      }
    }
  }

  static Status apply(int from, int to, const struct stat& info, const std::string& label) {
    const std::array<timespec, 2> times{info.st_atim, info.st_mtim};
    // Owner first: chown clears set-uid bits and file capabilities.
    if (::fchown(to, info.st_uid, info.st_gid) != 0 || ::fchmod(to, info.st_mode & 07777) != 0) {
      return errno_error(errno, label + ": set owner and mode");
    }
    SKEP_TRY(copy_xattrs(from, to, label));
    if (::futimens(to, times.data()) != 0) {
      return errno_error(errno, label + ": set times");
    }
    return ok();
  }

  static Status copy_xattrs(int from, int to, const std::string& label) {
    std::array<char, 64 * 1024> list;
    const ssize_t size = ::flistxattr(from, list.data(), list.size());
    for (ssize_t at = 0; at < size;) {
      const std::string name = list.data() + at;
      at += static_cast<ssize_t>(name.size()) + 1;
      std::array<char, 64 * 1024> value;
      const ssize_t length = ::fgetxattr(from, name.c_str(), value.data(), value.size());
      // The overlay's own marks are not the image's; a volume need not know every attribute.
      if (length < 0 || name.starts_with("trusted.overlay.")) {
        continue;
      }
      if (::fsetxattr(to, name.c_str(), value.data(), static_cast<std::size_t>(length), 0) != 0 &&
          errno != ENOTSUP && errno != EPERM) {
        return errno_error(errno, label + ": set attribute " + name);
      }
    }
    return ok();
  }

  static constexpr std::size_t kLinksMax = 512;  // fds held; further links become copies
  std::map<Inode, UniqueFd> linked_;
};

}  // namespace

Status copy_up(const std::string& root, const std::string& target, const std::string& volume) {
  const auto source = open_in_root(root, target, O_RDONLY | O_DIRECTORY);
  if (!source) {
    const Code code = source.error().code;
    struct stat info {};
    const auto any = open_in_root(root, target, O_PATH);
    const bool other_kind = any && ::fstat(any->get(), &info) == 0 && !S_ISDIR(info.st_mode);
    return code == Code::kNotFound || other_kind ? ok() : Status(source.error());
  }
  const UniqueFd into(::open(volume.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!into.valid()) {
    return errno == ENOTDIR ? ok() : Status(errno_error(errno, volume + ": open"));
  }
  SKEP_TRY_ASSIGN(const auto present, names_in(into.get()));
  if (!present.empty()) {
    return ok();
  }
  return TreeCopy().directory(source->get(), into.get(), target, 0);
}

}  // namespace skep::oci
