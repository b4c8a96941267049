#pragma once

// Changes of the members, pure: from one Membership and a change to the next. A change that alters
// at most one voter is applied directly; more go through a joint configuration.

#include <string>
#include <vector>

#include "plugins/consensus/raft/quorum.h"
#include "plugins/consensus/raft/types.h"
#include "skep/result.h"

namespace skep::raft {

struct MemberStep {
  enum class Kind : std::uint8_t { kAdd = 1, kRemove = 2 };
  Kind kind = Kind::kAdd;
  Member member;  ///< kAdd: also changes address and role; kRemove: only the id counts

  bool operator==(const MemberStep&) const = default;
};

/// Data of a kConfig entry. Without steps it leaves the joint configuration.
struct ConfigChange {
  std::vector<MemberStep> steps;
  bool operator==(const ConfigChange&) const = default;
};

std::string encode_config_change(const ConfigChange& change);
Result<ConfigChange> decode_config_change(std::string_view bytes);

/// kInvalidArgument: the change is wrong in itself (no voter left, same member twice).
/// kFailedPrecondition: it does not fit the state (already joint, not joint).
Result<Membership> apply_change(const Membership& now, const ConfigChange& change);

Quorum quorum_of(const Membership& membership);

}  // namespace skep::raft
