#include "core/pluginhost/file_safety.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "skep/posix_env.h"

namespace skep::host {
namespace {

constexpr const char* kWhy = ", and its code runs as this agent: ";

/// Who can write the agent's own program can become the agent anyway: a tree built by its developer.
struct Program {
  Program() { known = ::stat("/proc/self/exe", &info) == 0; }
  [[nodiscard]] bool of_owner(uid_t user) const { return known && info.st_uid == user; }
  [[nodiscard]] bool of_writing_group(gid_t group) const {
    return known && info.st_gid == group && (info.st_mode & S_IWGRP) != 0;
  }
  struct stat info {};
  bool known = false;
};

Error unsafe(const std::string& what, const std::string& who, const std::string& remedy) {
  return Error{Code::kPermissionDenied, what + " " + who + kWhy + remedy, "UNSAFE_FILE"};
}

/// `what` names the place at the beginning of an error.
Status check_modes(const std::string& what, const std::string& path, const struct stat& info) {
  // With the sticky bit only the owner of a file (and root) can remove or rename it.
  const bool sticky = S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0;
  if ((info.st_mode & S_IWOTH) != 0 && !sticky) {
    return unsafe(what, "is writable by everybody", "chmod o-w '" + path + "', or remove the plugin");
  }
  if ((info.st_mode & S_IWGRP) != 0 && info.st_gid != 0 && !sticky && !Program().of_writing_group(info.st_gid)) {
    return unsafe(what, "is writable by group " + std::to_string(info.st_gid),
                  "chmod g-w '" + path + "', or remove the plugin");
  }
  return ok();
}

Status check_owner(const std::string& what, const std::string& path, const struct stat& info) {
  if (info.st_uid == 0 || info.st_uid == ::geteuid() || Program().of_owner(info.st_uid)) {
    return ok();
  }
  return unsafe(what, "belongs to user " + std::to_string(info.st_uid) + ", who could change it",
                "chown root '" + path + "', or remove the plugin");
}

using Check = Status (*)(const std::string& what, const std::string& path, const struct stat& info);

/// Runs the checks on the file and on each directory through which it is reached.
Status check_places(const std::string& path, const std::vector<Check>& checks) {
  const auto check = [&](const std::string& what, const std::string& place, const struct stat& info) -> Status {
    for (const Check one : checks) {
      SKEP_TRY(one(what, place, info));
    }
    return ok();
  };
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) {
    return errno_error(errno, path);
  }
  if (!S_ISREG(file.st_mode)) {
    return Error{Code::kInvalidArgument, path + ": is no regular file", "NOT_A_PLUGIN"};
  }
  SKEP_TRY(check(path + ":", path, file));
  std::error_code failed;
  const auto absolute = std::filesystem::absolute(path, failed);
  const auto real = std::filesystem::canonical(path, failed);
  if (failed) {
    return errno_error(failed.value(), path);
  }
  for (const std::string& directory : {absolute.parent_path().string(), real.parent_path().string()}) {
    struct stat info {};
    if (::stat(directory.c_str(), &info) != 0) {
      return errno_error(errno, directory);
    }
    SKEP_TRY(check(path + ": its directory '" + directory + "'", directory, info));
  }
  return ok();
}

}  // namespace

Status check_writers(const std::string& path) { return check_places(path, {check_modes}); }

Status check_plugin_file(const std::string& path) { return check_places(path, {check_owner, check_modes}); }

}  // namespace skep::host
