#include "core/agentd/identity.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "core/model/ids.h"
#include "skep/posix_env.h"

namespace skep::agentd {

Result<RootLock> RootLock::take(const Paths& paths) {
  const std::string path = paths.run_dir + "/agentd.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return errno_error(errno, path + ": open");
  }
  RootLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    const ssize_t got = ::pread(fd, pid, sizeof(pid) - 1, 0);
    std::string who(pid, got > 0 ? static_cast<std::size_t>(got) : 0);
    who = who.substr(0, who.find('\n'));
    return Error{Code::kFailedPrecondition,
                 "another agentd" + (who.empty() ? "" : " (pid " + who + ")") + " runs on root '" +
                     paths.root + "': stop it first, or give this one its own --root",
                 "ROOT_IN_USE"};
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) != 0 ||
      ::pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return errno_error(errno, path + ": write");
  }
  return lock;
}

RootLock::RootLock(RootLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
RootLock::~RootLock() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Result<std::string> installation_id(const Paths& paths, Disk& disk, Random& random) {
  const std::string path = paths.state_dir + "/installation.id";
  auto content = disk.read_file(path);
  if (content) {
    const std::string id = content->substr(0, content->find('\n'));
    if (id.size() == 25) {
      return id;
    }
    return Error{Code::kDataLoss,
                 path + ": is damaged. It tags this agent's containers and devices: restore it from a "
                        "backup; if this node runs no task, remove it and start again",
                 "DAMAGED_FILE"};
  }
  if (content.error().code != Code::kNotFound) {
    return std::move(content).error();
  }
  const std::string id = model::new_id(random);
  SKEP_TRY(disk.write_file_atomic(path, id + "\n", 0600));
  return id;
}

Result<std::optional<agent::v1::SwarmMembership>> load_membership(const Paths& paths, Disk& disk) {
  const std::string path = paths.state_dir + "/swarm.pb";
  auto content = disk.read_file(path);
  if (!content) {
    return content.error().code == Code::kNotFound
               ? Result<std::optional<agent::v1::SwarmMembership>>(std::nullopt)
               : std::move(content).error();
  }
  agent::v1::SwarmMembership membership;
  if (!membership.ParseFromString(*content) || membership.node_id().empty()) {
    return Error{Code::kDataLoss,
                 path + ": is damaged; it says which swarm this node belongs to: restore it from a backup",
                 "DAMAGED_FILE"};
  }
  return std::optional(membership);
}

Status save_membership(const Paths& paths, Disk& disk, const agent::v1::SwarmMembership& membership) {
  return disk.write_file_atomic(paths.state_dir + "/swarm.pb", membership.SerializeAsString(), 0600);
}

Status forget_membership(const Paths& paths, Disk& disk) {
  auto status = disk.remove(paths.state_dir + "/swarm.pb");
  return status || status.error().code == Code::kNotFound ? ok() : status;
}

}  // namespace skep::agentd
