#pragma once

// Keeps the members of the log and the roles of nodes in one step. Pure: from what consensus says
// and the cluster state to the next thing to do. role_manager_service.h performs.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/store/view.h"
#include "skep/consensus.pb.h"
#include "skep/result.h"

namespace skep::control {

namespace role {
/// A learner has caught up and holds the state: it becomes a voter.
struct Promote {
  consensus::v1::Member member;
};
/// A member whose node is no manager any more.
struct Remove {
  std::uint64_t id = 0;
};
/// This leader is to be removed: another one must lead first.
struct HandOver {
  std::uint64_t to = 0;
};
}  // namespace role
using RoleStep = std::variant<role::Promote, role::Remove, role::HandOver>;

/// A learner whose log is this close to the leader's commit index has caught up.
inline constexpr std::uint64_t kCaughtUpEntries = 100;

/// The next step of the leading manager; nullopt: all is as it should be, or nothing can be done
/// now without losing the quorum. One step at a time: ask again when it is done.
std::optional<RoleStep> next_role_step(const consensus::v1::StatusResponse& status,
                                       const store::View& view);
/// Whether a majority of the other voters answers, so that decisions go on without member `id`.
/// kFailedPrecondition LAST_MANAGER, QUORUM_AT_RISK with a sentence for people.
Status can_remove(const consensus::v1::StatusResponse& status, std::uint64_t id);
/// The voter that can take over soonest; 0 when none answers.
std::uint64_t successor(const consensus::v1::StatusResponse& status, const store::View& view);
/// The member of a node; nullptr when it has none.
const consensus::v1::Member* member_of(const consensus::v1::StatusResponse& status,
                                       const std::string& node_id);
bool is_active(const consensus::v1::StatusResponse& status, std::uint64_t id);
/// What `info` says about that number of managers: two, an even number or more than seven.
std::vector<std::string> manager_count_warnings(std::size_t managers);

}  // namespace skep::control
