#pragma once

// The files of a recovery. <state_dir>/manager.db.recovered is made beside what is there; once
// swarm.pb says `recovering`, it takes the place of log and state, also over a crash. Calls block.

#include <memory>
#include <optional>
#include <string>

#include "core/agentd/config.h"
#include "core/base/sealing.h"
#include "core/control/recovery/incarnation.h"
#include "core/store/state_backend.h"
#include "skep/agent.pb.h"
#include "skep/env.h"

namespace skep::agentd {

using SealerRef = std::shared_ptr<const base::Sealer>;

std::string recovered_path(const Paths& paths);
/// manager.db as it is now, beside it. Nobody may have it open.
Status copy_manager_state(const Paths& paths);
/// A state on disk, its objects sealed by `sealer` (nullptr: not at all). `random` outlives it.
std::shared_ptr<store::StateBackend> sealed_state(const std::string& path, const SealerRef& sealer,
                                                  Random& random);
/// As `swarm init`; what is empty stays as it is in `membership`. kInvalidArgument: not ours.
Status choose_addresses(const std::string& advertise, const std::string& listen,
                        agent::v1::SwarmMembership& membership);
/// Makes what lies at recovered_path() the state of `membership`'s incarnation.
Status rewrite_recovered(store::StateBackend& recovered,
                         const agent::v1::SwarmMembership& membership, WallTime now);
/// Whether a swarm can go on from this node. kFailedPrecondition NOT_IN_SWARM, NOT_A_MANAGER.
Status may_recover(const std::optional<agent::v1::SwarmMembership>& membership);
/// Removes what an earlier try left.
Status remove_recovered(const Paths& paths);
/// recovered_path() becomes manager.db; success when that was done already. The log is gone before.
Status put_recovered_in_place(const Paths& paths, Disk& disk);
/// The membership of the one manager of a new incarnation: a new member, nothing bootstrapped.
agent::v1::SwarmMembership recovered_membership(agent::v1::SwarmMembership before, Random& random,
                                                WallTime now);

}  // namespace skep::agentd
