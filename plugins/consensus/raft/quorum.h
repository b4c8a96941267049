#pragma once

// Majority arithmetic, plain and joint. Pure functions over sets of members.

#include <functional>
#include <map>
#include <set>

#include "plugins/consensus/raft/types.h"

namespace skep::raft {

enum class VoteResult : std::uint8_t { kPending, kLost, kWon };

/// Voters that decide. In a joint configuration both halves must agree; an empty half agrees always.
struct Quorum {
  std::set<MemberId> incoming;
  std::set<MemberId> outgoing;

  /// The highest index that a majority (of each half) has. Members without an answer count as 0.
  [[nodiscard]] Index committed_index(const std::function<Index(MemberId)>& matched) const;
  [[nodiscard]] VoteResult vote_result(const std::map<MemberId, bool>& votes) const;
  [[nodiscard]] std::set<MemberId> all() const;
  [[nodiscard]] bool contains(MemberId id) const {
    return incoming.contains(id) || outgoing.contains(id);
  }
};

}  // namespace skep::raft
