// The follower's part of the Raft state machine. See raft.h.

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "plugins/consensus/raft/raft.h"
#include "skep/mutant.h"

namespace skep::raft {

void Raft::step_follower(Message& message) {
  switch (message.type) {
    case MessageType::kAppend:
      election_elapsed_ = 0;
      leader_ = message.from;
      handle_append(message);
      return;
    case MessageType::kHeartbeat:
      election_elapsed_ = 0;
      leader_ = message.from;
      handle_heartbeat(message);
      return;
    case MessageType::kSnapshot:
      election_elapsed_ = 0;
      leader_ = message.from;
      handle_snapshot(message);
      return;
    case MessageType::kTimeoutNow:
      hup(Campaign::kTransfer);  // The old leader asks for it: no pre-vote.
      return;
    case MessageType::kReadIndexReply:
      reads_.push_back({message.index, std::move(message.context)});
      return;
    case MessageType::kReadIndex:
    case MessageType::kPreVote:
    case MessageType::kPreVoteReply:
    case MessageType::kVote:
    case MessageType::kVoteReply:
    case MessageType::kAppendReply:
    case MessageType::kHeartbeatReply:
      return;
  }
}

void Raft::handle_append(Message& message) {
  if (message.index < log_.committed()) {
    send({.type = MessageType::kAppendReply, .to = message.from, .index = log_.committed()});
    return;
  }
  const Index rejected = message.index;
  if (const auto last = log_.maybe_append(message.index, message.log_term, message.commit,
                                          std::move(message.entries))) {
    send({.type = MessageType::kAppendReply,
          .to = message.from,
          .index = SKEP_MUTANT(kAcksWholeLog) ? log_.last_index() : *last});
    return;
  }
  const auto [hint, hint_term] =
      log_.find_conflict_by_term(std::min(rejected, log_.last_index()), message.log_term);
  send({.type = MessageType::kAppendReply,
        .to = message.from,
        .log_term = hint_term,
        .index = rejected,
        .reject = true,
        .reject_hint = hint});
}

void Raft::handle_heartbeat(const Message& message) {
  log_.commit_to(message.commit);
  send({.type = MessageType::kHeartbeatReply, .to = message.from, .context = message.context});
}

void Raft::handle_snapshot(const Message& message) {
  const SnapshotMark& mark = *message.snapshot;
  if (mark.membership.find(options_.id) == nullptr && !mark.membership.is_voter(options_.id)) {
    return;  // Of a time before this member was added.
  }
  if (mark.index <= log_.committed() && !SKEP_MUTANT(kStaleSnapshotTruncates)) {
    send({.type = MessageType::kAppendReply, .to = message.from, .index = log_.committed()});
    return;
  }
  if (log_.matches(mark.index, mark.term)) {
    // We have these entries: only learn that they are committed.
    log_.commit_to(mark.index);
    send({.type = MessageType::kAppendReply, .to = message.from, .index = log_.committed()});
    return;
  }
  log_.restore(mark);
  awaits_state_ = !SKEP_MUTANT(kStateNotFetched);
  use_members(mark.membership);
  send({.type = MessageType::kAppendReply, .to = message.from, .index = log_.last_index()});
}

void Raft::report_leader_gone() {
  if (role_ != Role::kFollower || leader_ == kNobody) {
    return;
  }
  // One after the other, each two ticks after the one before, the leader left out: whoever is first
  // wins before the next stands, so that votes do not split. Who is reluctant comes behind all.
  std::set<MemberId> others = quorum_.all();
  others.erase(std::exchange(leader_, kNobody));
  const auto rank = static_cast<unsigned>(std::distance(
      others.begin(), reluctant_ ? others.end() : others.lower_bound(options_.id)));
  const unsigned wait = std::min(election_timeout_, 1 + 2 * rank);
  election_elapsed_ = std::max(election_elapsed_, election_timeout_ - wait);
}

}  // namespace skep::raft
