#include "core/agentd/identity.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "core/agentd/kept_file.h"
#include "core/model/ids.h"
#include "skep/posix_env.h"

namespace skep::agentd {
namespace {

constexpr std::string_view kInstallationWayOut =
    ". It tags this agent's containers and devices: restore the file from a backup; if this node runs "
    "no task, remove the agent's state directory and start again";

Error damaged(const std::string& what, std::string_view way_out) {
  return Error{Code::kDataLoss, what + std::string(way_out), "DAMAGED_FILE"};
}

std::string membership_path(const Paths& paths) { return paths.state_dir + "/swarm.pb"; }

std::string membership_way_out(const Paths& paths) {
  const std::string& dir = paths.state_dir;
  return ". It says which swarm this node belongs to: restore the file from a backup; to give up this "
         "node's part of the swarm instead, which ends its tasks, remove swarm.pb, swarm.pb.copy, manager.db, "
         "node.db and plugins/raft in " + dir + " and start again";
}

/// What shows that this agent was in a swarm and did not leave it; empty when nothing does.
std::string swarm_witness(const Paths& paths, Disk& disk) {
  for (const char* name : {"/swarm.pb", "/manager.db", "/node.db"}) {
    if (const std::string path = paths.state_dir + name; disk.exists(path)) {
      return path;
    }
  }
  return {};
}

}  // namespace

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
  KeptFile file(disk, paths.state_dir + "/installation.id");
  auto content = file.read();
  if (content) {
    return content;
  }
  if (content.error().code == Code::kDataLoss) {
    return damaged(content.error().message, kInstallationWayOut);
  }
  if (content.error().code != Code::kNotFound) {
    return content;
  }
  // Without its tag this agent would leave its containers alone and start all of them again.
  if (const std::string witness = swarm_witness(paths, disk); !witness.empty()) {
    return damaged(file.path() + ": is missing, although " + witness + " is there", kInstallationWayOut);
  }
  const std::string id = model::new_id(random);
  SKEP_TRY(file.write(id));
  return id;
}

Result<std::optional<agent::v1::SwarmMembership>> load_membership(const Paths& paths, Disk& disk) {
  KeptFile file(disk, membership_path(paths));
  auto content = file.read();
  if (!content && content.error().code == Code::kNotFound) {
    if (const std::string witness = swarm_witness(paths, disk); !witness.empty()) {
      return damaged(file.path() + ": is missing, although " + witness + " is there",
                     membership_way_out(paths));
    }
    return Result<std::optional<agent::v1::SwarmMembership>>(std::nullopt);
  }
  if (!content) {
    return content.error().code == Code::kDataLoss
               ? damaged(content.error().message, membership_way_out(paths))
               : std::move(content).error();
  }
  agent::v1::SwarmMembership membership;
  if (!membership.ParseFromString(*content) || membership.node_id().empty()) {
    return damaged(file.path() + ": is damaged", membership_way_out(paths));
  }
  return std::optional(membership);
}

Status save_membership(const Paths& paths, Disk& disk, const agent::v1::SwarmMembership& membership) {
  return KeptFile(disk, membership_path(paths)).write(membership.SerializeAsString());
}

Status forget_membership(const Paths& paths, Disk& disk) {
  return KeptFile(disk, membership_path(paths)).remove();
}

}  // namespace skep::agentd
