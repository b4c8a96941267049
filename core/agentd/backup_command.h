#pragma once

// What `agentctl backup inspect|verify|restore` do, and `swarm init --force-new-cluster` without an
// agent: agentctl runs agentd for them. Answers are for people; calls block; main thread.

#include <string>

#include "core/agentd/config.h"
#include "skep/env.h"

namespace skep::agentd {

struct BackupWorld {
  Disk& disk;
  Random& random;
  Clock& clock;
};

/// Reads the whole file, checks it, and answers what it holds, for people.
/// Without the `unlock_key` of a locked backup the rows are counted, and held against the checksum
/// only.
Result<std::string> inspect_backup(const BackupWorld& world, const std::string& file,
                                   const std::string& unlock_key);
/// Really loads it into a scratch state in `scratch_parent`, which is removed again.
Result<std::string> verify_backup(const BackupWorld& world, const std::string& file,
                                  const std::string& scratch_parent, const std::string& unlock_key);

struct RestoreOptions {
  std::string file;
  std::string advertise_address;  ///< as `swarm init`; empty: as in the backup, or as this node had
  std::string listen_address;
  std::string unlock_key;  ///< that the swarm had when it was locked
  bool replace = false;  ///< what this root holds of the same swarm is thrown away; its tasks stay
};
/// Writes a new incarnation of the swarm with this node as the one manager; agentd takes it up when
/// it starts. kFailedPrecondition ROOT_IN_USE, ALREADY_IN_SWARM, WRONG_CLUSTER.
Result<std::string> restore_backup(const BackupWorld& world, const Paths& paths,
                                   const RestoreOptions& options);

/// `swarm init --force-new-cluster` while agentd does not run: noted in swarm.pb, done when it
/// starts. kFailedPrecondition ROOT_IN_USE, NOT_IN_SWARM, NOT_A_MANAGER.
Result<std::string> force_at_start(const BackupWorld& world, const Paths& paths,
                                   const std::string& advertise_address,
                                   const std::string& listen_address);

}  // namespace skep::agentd
