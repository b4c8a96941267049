// A leader that is to leave. See raft.h.

#include <algorithm>

#include "plugins/consensus/raft/raft.h"

namespace skep::raft {

/// This leader was removed or demoted: the best follower need not wait for its silence.
void Raft::step_down_removed() {
  broadcast_append();
  for (const auto& [id, progress] : progress_) {
    if (id != options_.id && quorum_.contains(id) && progress.match == log_.last_index()) {
      send({.type = MessageType::kTimeoutNow, .to = id});
      break;
    }
  }
  become_follower(term_, kNobody);
}

/// An entry up to `index` may end this leader's membership and leave one voter. That one must commit it: it would have
/// to hear of it from a leader that ends, and without a word it could never be elected alone.
std::pair<MemberId, Index> Raft::find_heir(Index index) const {
  if (pending_config_index_ <= log_.committed() || index <= log_.committed()) {
    return {kNobody, 0};
  }
  Membership members = members_;
  for (const Entry& entry : log_.entries(log_.applied() + 1, std::min(index, pending_config_index_), ~std::size_t{0})) {
    const auto change = entry.kind == EntryKind::kConfig ? decode_config_change(entry.data)
                                                          : Result<ConfigChange>(Error{});
    const auto after = change ? apply_change(members, *change) : Result<Membership>(change.error());
    if (!after) {
      continue;
    }
    members = *after;
    const auto voters = members.voters();
    if (entry.index > log_.committed() && voters.size() == 1 && members.outgoing.empty() &&
        !voters.contains(options_.id)) {
      return {*voters.begin(), entry.index - 1};
    }
  }
  return {kNobody, 0};
}

MemberId Raft::best_heir() const {
  MemberId best = kNobody;
  Index most = 0;
  std::map<MemberId, bool> answers;
  for (const auto& [id, progress] : progress_) {
    const bool here = id != options_.id && progress.silent_ticks < options_.election_ticks;
    answers[id] = here;
    if (here && quorum_.contains(id) && progress.state != ProgressState::kSnapshot && !progress.awaits_state &&
        (best == kNobody || progress.match > most)) {
      best = id;
      most = progress.match;
    }
  }
  // Without a majority of others the heir would wait for this member's disk as well.
  return quorum_.vote_result(answers) == VoteResult::kWon ? best : kNobody;
}

Message Raft::ask_to_lead(MemberId heir) const {
  return {.type = MessageType::kTimeoutNow, .to = heir, .from = options_.id, .term = term_};
}

void Raft::step_aside() {
  if (role_ == Role::kLeader) {
    become_follower(term_, kNobody);
  }
}

void Raft::set_reluctant(bool reluctant) {
  election_timeout_ -= reluctance();
  reluctant_ = reluctant;
  election_timeout_ += reluctance();
}

}  // namespace skep::raft
