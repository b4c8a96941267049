#pragma once

// Who this agent is, on disk: the installation id, which tags everything it makes and outlives
// `leave`; the lock that keeps a second agent off the same root; and the swarm it belongs to.

#include <optional>
#include <string>

#include "core/agentd/config.h"
#include "skep/agent.pb.h"
#include "skep/env.h"

namespace skep::agentd {

/// Held while the agent runs; the kernel drops it with the process.
class RootLock {
 public:
  /// kFailedPrecondition: another agent runs on this root (says its pid).
  static Result<RootLock> take(const Paths& paths);
  RootLock(RootLock&& other) noexcept;
  RootLock& operator=(RootLock&&) = delete;
  ~RootLock();

 private:
  explicit RootLock(int fd) : fd_(fd) {}
  int fd_;
};

/// Reads or makes <state_dir>/installation.id. kDataLoss: damaged, or lost although this agent is in
/// a swarm; says the way out.
Result<std::string> installation_id(const Paths& paths, Disk& disk, Random& random);

/// <state_dir>/swarm.pb. nullopt: this node is in no swarm. kDataLoss: damaged, or lost although the
/// state of a swarm is there; says the way out.
Result<std::optional<agent::v1::SwarmMembership>> load_membership(const Paths& paths, Disk& disk);
Status save_membership(const Paths& paths, Disk& disk, const agent::v1::SwarmMembership& membership);
Status forget_membership(const Paths& paths, Disk& disk);

}  // namespace skep::agentd
