#include "plugins/runtime/oci/images/safe_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "skep/posix_env.h"

namespace skep::oci {
namespace {

int open_beneath(int root, const std::string& path, int flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags | O_CLOEXEC));
  how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how)));
}

std::string join(const std::vector<std::string>& parts, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    out += (i == 0 ? "" : "/") + parts[i];
  }
  return out.empty() ? "." : out;
}

Error bad_path(std::string_view path, std::string_view why) {
  return Error{Code::kInvalidArgument,
               "layer entry '" + std::string(path.substr(0, 200)) + "' " + std::string(why),
               "LAYER_MALICIOUS"};
}

Result<std::string> real_path(int fd) {
  std::array<char, PATH_MAX> buffer{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), buffer.data(), buffer.size());
  if (size < 0) {
    return errno_error(errno, "follow a directory of the layer");
  }
  return std::string(buffer.data(), static_cast<std::size_t>(size));
}

/// Removes everything in a directory; depth is bounded by kDepthMax.
Status empty_directory(int parent, const std::string& name) {
  const int fd = ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    return errno_error(errno, name + ": open");
  }
  DIR* const directory = ::fdopendir(fd);
  SKEP_ASSERT(directory != nullptr, "the fd is a directory");
  Status status = ok();
  while (const dirent* entry = ::readdir(directory)) {
    const std::string child = entry->d_name;
    if (child == "." || child == ".." || ::unlinkat(fd, child.c_str(), 0) == 0) {
      continue;
    }
    status = empty_directory(fd, child);
    if (status && ::unlinkat(fd, child.c_str(), AT_REMOVEDIR) != 0) {
      status = errno_error(errno, child + ": remove");
    }
    if (!status) {
      break;
    }
  }
  ::closedir(directory);
  return status;
}

}  // namespace

Result<std::vector<std::string>> clean_entry_path(std::string_view raw) {
  if (raw.find('\0') != std::string_view::npos) {
    return bad_path(raw, "holds a NUL");
  }
  std::vector<std::string> parts;
  std::string_view rest = raw;
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    if (part.empty() || part == ".") {
      continue;
    }
    if (part != "..") {
      parts.emplace_back(part);
    } else if (parts.empty()) {
      return bad_path(raw, "leads out of the image");
    } else {
      parts.pop_back();
    }
  }
  if (parts.size() > kDepthMax) {
    return bad_path(raw, "lies deeper than " + std::to_string(kDepthMax) + " directories");
  }
  return parts;
}

Result<SafeTree> SafeTree::open(const std::string& directory) {
  OwnedFd root(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) {
    return errno_error(errno, directory + ": open");
  }
  SKEP_TRY_ASSIGN(std::string path, real_path(root.get()));
  return SafeTree(std::move(root), std::move(path));
}

Status SafeTree::check_depth(int fd, std::size_t parts_after) const {
  SKEP_TRY_ASSIGN(const std::string real, real_path(fd));
  const std::string_view below = std::string_view(real).substr(std::min(path_.size(), real.size()));
  const auto depth = static_cast<std::size_t>(std::count(below.begin(), below.end(), '/'));
  if (depth + parts_after > kDepthMax) {
    return bad_path(below, "lies deeper than " + std::to_string(kDepthMax) + " directories");
  }
  return ok();
}

/// Without symbolic links when possible; with them confined to the root, and then its real depth is
/// asked for, because links can add up to any depth.
Result<OwnedFd> SafeTree::open_directory(const std::string& path, std::size_t parts_after) {
  constexpr int kFlags = O_PATH | O_DIRECTORY;
  OwnedFd fd(open_beneath(root_.get(), path, kFlags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
  if (fd) {
    return fd;
  }
  if (errno == ELOOP) {
    fd = OwnedFd(open_beneath(root_.get(), path, kFlags, RESOLVE_IN_ROOT));
    if (fd) {
      SKEP_TRY(check_depth(fd.get(), parts_after));
      return fd;
    }
  }
  switch (errno) {
    case ENOENT:
      return Error{Code::kNotFound, "no directory '" + path + "' in the layer"};
    case ENOSYS:
      return Error{Code::kFailedPrecondition, "the kernel has no openat2: Linux 5.6 is needed"};
    case ENOTDIR:
      return bad_path(path, "is used as a directory and is none");
    case ELOOP:
    case EXDEV:
    case ENAMETOOLONG:
      return bad_path(path, "cannot be a directory of a layer");
    default:
      return errno_error(errno, path + ": open");
  }
}

Result<OwnedFd> SafeTree::make_directories(const std::vector<std::string>& parts,
                                           std::size_t count) {
  Result<OwnedFd> at = open_directory(".", count);
  for (std::size_t made = 0; made < count; ++made) {
    if (!at) {
      return at;
    }
    if (::mkdirat(at->get(), parts[made].c_str(), 0755) != 0 && errno != EEXIST) {
      return errno == ENAMETOOLONG ? bad_path(parts[made], "has too long a name")
                                   : errno_error(errno, parts[made] + ": make directory");
    }
    at = open_directory(join(parts, made + 1), count - made);
  }
  return at;
}

Result<Place> SafeTree::place(const std::vector<std::string>& parts, Missing missing) {
  SKEP_ASSERT(!parts.empty(), "the root is no place in itself");
  const std::size_t above = parts.size() - 1;
  Result<OwnedFd> parent = open_directory(join(parts, above), 1);
  if (!parent && parent.error().code == Code::kNotFound && missing == Missing::kCreate) {
    parent = make_directories(parts, above);
    if (!parent && parent.error().code == Code::kNotFound) {
      return bad_path(join(parts, above), "goes through a symbolic link that leads nowhere");
    }
  }
  if (!parent) {
    return std::move(parent).error();
  }
  return Place{*std::move(parent), parts.back()};
}

Result<OwnedFd> SafeTree::directory(const std::vector<std::string>& parts) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  int fd = -1;
  if (parts.empty()) {
    fd = ::openat(root_.get(), ".", kFlags);
  } else {
    SKEP_TRY_ASSIGN(const Place at, place(parts, Missing::kError));
    fd = ::openat(at.parent.get(), at.name.c_str(), kFlags);
  }
  if (fd < 0) {
    const bool none = errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
    return none ? Error{Code::kNotFound,
                        "no directory '" + join(parts, parts.size()) + "' in the layer"}
                : errno_error(errno, join(parts, parts.size()) + ": open");
  }
  return OwnedFd(fd);
}

Status SafeTree::remove(const Place& place) {
  if (::unlinkat(place.parent.get(), place.name.c_str(), 0) == 0 || errno == ENOENT) {
    return ok();
  }
  if (errno != EISDIR && errno != EPERM) {
    return errno_error(errno, place.name + ": remove");
  }
  SKEP_TRY(empty_directory(place.parent.get(), place.name));
  if (::unlinkat(place.parent.get(), place.name.c_str(), AT_REMOVEDIR) != 0) {
    return errno_error(errno, place.name + ": remove");
  }
  return ok();
}

}  // namespace skep::oci
