#include "plugins/runtime/oci/container/overlay.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include "plugins/runtime/oci/container/fd.h"
#include "skep/posix_env.h"

namespace skep::oci {
namespace {

constexpr std::size_t kOptionsMax = 4095;  // mount(2) takes one page
constexpr std::size_t kLayersMax = 500;    // overlayfs' own

/// Paths as "/proc/self/fd/N": short, and without characters that mean something in options.
class ShortPaths {
 public:
  Result<std::string> add(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) {
      return errno_error(errno, path + ": open");
    }
    fds_.push_back(std::move(fd));
    return "/proc/self/fd/" + std::to_string(fds_.back().get());
  }

 private:
  std::vector<UniqueFd> fds_;
};

std::string join_options(const std::vector<std::string>& layers, const std::string& upper,
                         const std::string& work) {
  std::string options = "upperdir=" + upper + ",workdir=" + work + ",lowerdir=";
  for (std::size_t i = 0; i < layers.size(); ++i) {
    options += (i == 0 ? "" : ":") + layers[i];
  }
  return options;
}

Status make_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return errno_error(errno, path + ": make directory");
  }
  return ok();
}

/// "volatile" leaves out the sync of the whole disk at unmount: the writable layer never outlives
/// its container, and a container never survives a power loss.
Status do_mount(const std::string& target, const std::string& options) {
  if (::mount("overlay", target.c_str(), "overlay", 0, (options + ",volatile").c_str()) == 0) {
    return ok();
  }
  if (errno == EINVAL && ::mount("overlay", target.c_str(), "overlay", 0, options.c_str()) == 0) {
    return ok();
  }
  return errno_error(errno, target + ": mount overlay");
}

/// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescape(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

Status mount_overlay(const OverlayMount& mount) {
  if (mount.layers.empty() || mount.layers.size() > kLayersMax) {
    return Error{Code::kInvalidArgument,
                 "an image needs 1 to 500 layers, this one has " + std::to_string(mount.layers.size()),
                 "TOO_MANY_LAYERS"};
  }
  SKEP_TRY(make_directory(mount.upper, 0755));
  SKEP_TRY(make_directory(mount.work, 0700));
  SKEP_TRY(make_directory(mount.target, 0755));
  if (is_mount_point(mount.target)) {
    return ok();
  }
  // The root directory of the container has the owner and mode of the image's.
  struct stat top {};
  if (::stat(mount.layers.front().c_str(), &top) != 0) {
    return errno_error(errno, mount.layers.front() + ": image layer");
  }
  if (::chown(mount.upper.c_str(), top.st_uid, top.st_gid) != 0 ||
      ::chmod(mount.upper.c_str(), top.st_mode & 07777) != 0) {
    return errno_error(errno, mount.upper + ": set owner and mode");
  }
  std::string options = join_options(mount.layers, mount.upper, mount.work);
  ShortPaths short_paths;
  const bool special = options.find_first_of("\\") != std::string::npos ||
                       std::any_of(mount.layers.begin(), mount.layers.end(), [](const auto& layer) {
                         return layer.find_first_of(":,") != std::string::npos;
                       }) || (mount.upper + mount.work).find_first_of(":,") != std::string::npos;
  if (special || options.size() > kOptionsMax - 16) {
    std::vector<std::string> layers;
    for (const std::string& layer : mount.layers) {
      SKEP_TRY_ASSIGN(std::string path, short_paths.add(layer));
      layers.push_back(std::move(path));
    }
    SKEP_TRY_ASSIGN(const std::string upper, short_paths.add(mount.upper));
    SKEP_TRY_ASSIGN(const std::string work, short_paths.add(mount.work));
    options = join_options(layers, upper, work);
  }
  if (options.size() > kOptionsMax - 16) {
    return Error{Code::kInvalidArgument,
                 "the image has " + std::to_string(mount.layers.size()) +
                     " layers, more than one mount takes: squash it",
                 "TOO_MANY_LAYERS"};
  }
  return do_mount(mount.target, options);
}

Status mount_bind_read_only(const std::string& source, const std::string& target) {
  SKEP_TRY(make_directory(target, 0755));
  if (is_mount_point(target)) {
    return ok();
  }
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return errno_error(errno, target + ": bind " + source);
  }
  if (::mount(nullptr, target.c_str(), nullptr, MS_PRIVATE, nullptr) != 0 ||
      ::mount(nullptr, target.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
    const Error error = errno_error(errno, target + ": make read-only");
    ::umount2(target.c_str(), MNT_DETACH);
    return error;
  }
  return ok();
}

bool is_mount_point(const std::string& path) {
  struct statx info {};
  return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, 0, &info) == 0 &&
         (info.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

std::vector<std::string> mounts_below(const std::string& mountinfo, const std::string& prefix) {
  std::vector<std::string> found;
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string skip;
    std::string point;
    fields >> skip >> skip >> skip >> skip >> point;
    point = unescape(point);
    if (point == prefix || point.starts_with(prefix + "/")) {
      found.push_back(point);
    }
  }
  std::reverse(found.begin(), found.end());  // mounted last, unmounted first
  return found;
}

Status unmount_tree(const std::string& target) {
  // The common case needs no look at all mounts of the machine.
  if (!is_mount_point(target) || ::umount2(target.c_str(), UMOUNT_NOFOLLOW) == 0) {
    return ok();
  }
  SKEP_TRY_ASSIGN(const std::string mountinfo, PosixDisk().read_file("/proc/self/mountinfo"));
  for (const std::string& point : mounts_below(mountinfo, target)) {
    if (::umount2(point.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0 && errno != EINVAL &&
        errno != ENOENT) {
      return errno_error(errno, point + ": unmount");
    }
  }
  return ok();
}

}  // namespace skep::oci
