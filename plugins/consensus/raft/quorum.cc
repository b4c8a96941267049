#include "plugins/consensus/raft/quorum.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "skep/mutant.h"

namespace skep::raft {
namespace {

Index majority_index(const std::set<MemberId>& voters,
                     const std::function<Index(MemberId)>& matched) {
  if (voters.empty()) {
    return std::numeric_limits<Index>::max();  // The other half decides alone.
  }
  std::vector<Index> indexes;
  for (const MemberId id : voters) {
    indexes.push_back(matched(id));
  }
  std::sort(indexes.begin(), indexes.end());
  return indexes[indexes.size() - (indexes.size() / 2 + (SKEP_MUTANT(kCommitsByMinority) ? 0 : 1))];
}

VoteResult majority_vote(const std::set<MemberId>& voters, const std::map<MemberId, bool>& votes) {
  std::size_t granted = 0;
  std::size_t missing = 0;
  for (const MemberId id : voters) {
    const auto vote = votes.find(id);
    if (vote == votes.end()) {
      ++missing;
    } else if (vote->second) {
      ++granted;
    }
  }
  const std::size_t needed =
      SKEP_MUTANT(kHalfIsMajority) ? (voters.size() + 1) / 2 : voters.size() / 2 + 1;
  if (voters.empty() || granted >= needed) {
    return VoteResult::kWon;
  }
  return granted + missing >= needed ? VoteResult::kPending : VoteResult::kLost;
}

}  // namespace

Index Quorum::committed_index(const std::function<Index(MemberId)>& matched) const {
  return std::min(majority_index(incoming, matched), majority_index(outgoing, matched));
}

VoteResult Quorum::vote_result(const std::map<MemberId, bool>& votes) const {
  const VoteResult first = majority_vote(incoming, votes);
  const VoteResult second = majority_vote(outgoing, votes);
  if (first == second) {
    return first;
  }
  if (first == VoteResult::kLost || second == VoteResult::kLost) {
    return VoteResult::kLost;
  }
  return VoteResult::kPending;
}

std::set<MemberId> Quorum::all() const {
  std::set<MemberId> ids = incoming;
  ids.insert(outgoing.begin(), outgoing.end());
  return ids;
}

}  // namespace skep::raft
