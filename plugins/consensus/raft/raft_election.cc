// Elections of the Raft state machine: standing, voting, terms. See raft.h.

#include "plugins/consensus/raft/raft.h"
#include "skep/mutant.h"

namespace skep::raft {

void Raft::draw_election_timeout() {
  election_timeout_ = options_.election_ticks + reluctance() +
                      static_cast<unsigned>(options_.random(options_.election_ticks));
}

void Raft::tick() {
  if (role_ == Role::kLeader) {
    tick_leader();
    return;
  }
  ++election_elapsed_;
  if (election_elapsed_ >= election_timeout_) {
    election_elapsed_ = 0;
    if (can_stand()) {
      campaign();
    } else if (!members_.is_voter(options_.id)) {
      leader_ = kNobody;  // it may have removed this learner, which asks for no vote by which it would learn that
    }
  }
}

void Raft::campaign() { hup(options_.pre_vote ? Campaign::kPreVote : Campaign::kElection); }

bool Raft::unapplied_config_change() const {
  const auto entries = log_.entries(log_.applied() + 1, log_.committed(), ~std::size_t{0});
  for (const Entry& entry : entries) {
    if (entry.kind == EntryKind::kConfig) {
      return true;
    }
  }
  return false;
}

void Raft::hup(Campaign kind) {
  // Who has not applied a change of the members yet does not know whose votes count.
  if (role_ == Role::kLeader || !can_stand() || unapplied_config_change()) {
    return;
  }
  start_campaign(kind);
}

void Raft::start_campaign(Campaign kind) {
  const bool pre = kind == Campaign::kPreVote;
  if (pre) {
    become_pre_candidate();
  } else {
    become_candidate();
  }
  const Term term = pre ? term_ + 1 : term_;
  const auto ask = pre ? MessageType::kPreVote : MessageType::kVote;
  for (const MemberId id : quorum_.all()) {
    if (id == options_.id) {
      // Counted only once the term and the vote are on disk.
      send({.type = pre ? MessageType::kPreVoteReply : MessageType::kVoteReply,
            .to = id,
            .term = term});
      continue;
    }
    send({.type = ask,
          .to = id,
          .term = term,
          .log_term = log_.last_term(),
          .index = log_.last_index(),
          .forced = kind == Campaign::kTransfer});
  }
}

void Raft::poll(MemberId from, MessageType type, bool granted) {
  votes_.try_emplace(from, granted);
  switch (quorum_.vote_result(votes_)) {
    case VoteResult::kPending:
      return;
    case VoteResult::kLost:
      // The term stays: the one of a pre-vote reply was never ours.
      become_follower(term_, kNobody);
      return;
    case VoteResult::kWon:
      break;
  }
  if (type == MessageType::kPreVoteReply) {
    start_campaign(Campaign::kElection);
  } else {
    become_leader();
    broadcast_append();
  }
}

void Raft::step_candidate(Message& message) {
  const bool pre = role_ == Role::kPreCandidate;
  switch (message.type) {
    case MessageType::kAppend:
      become_follower(message.term, message.from);
      handle_append(message);
      return;
    case MessageType::kHeartbeat:
      become_follower(message.term, message.from);
      handle_heartbeat(message);
      return;
    case MessageType::kSnapshot:
      become_follower(message.term, message.from);
      handle_snapshot(message);
      return;
    case MessageType::kPreVoteReply:
    case MessageType::kVoteReply:
      // A pre-vote is never counted as a vote, nor the other way round.
      if (pre == (message.type == MessageType::kPreVoteReply) || SKEP_MUTANT(kPreVoteCountsAsVote)) {
        poll(message.from, message.type, !message.reject);
      }
      return;
    case MessageType::kPreVote:
    case MessageType::kVote:
    case MessageType::kAppendReply:
    case MessageType::kHeartbeatReply:
    case MessageType::kReadIndex:
    case MessageType::kReadIndexReply:
    case MessageType::kTimeoutNow:
      return;
  }
}

/// Settles what the term of a message means. False: the message is done with.
bool Raft::step_term(const Message& message) {
  if (message.term > term_) {
    const bool vote = message.type == MessageType::kVote || message.type == MessageType::kPreVote;
    const bool lease = options_.check_quorum && leader_ != kNobody &&
                       election_elapsed_ < options_.election_ticks;
    if (vote && lease && !message.forced) {
      return false;  // The leader was heard of just now: whoever asks is cut off, not it.
    }
    const bool changes_nothing =
        message.type == MessageType::kPreVote ||
        (message.type == MessageType::kPreVoteReply && !message.reject);
    if (!changes_nothing) {
      const bool from_leader = message.type == MessageType::kAppend ||
                               message.type == MessageType::kHeartbeat ||
                               message.type == MessageType::kSnapshot;
      become_follower(message.term, from_leader ? message.from : kNobody);
    }
    return true;
  }
  if (message.term == term_ || SKEP_MUTANT(kOldTermsCount)) {
    return true;
  }
  const bool from_leader =
      message.type == MessageType::kAppend || message.type == MessageType::kHeartbeat;
  if ((options_.check_quorum || options_.pre_vote) && from_leader) {
    // A deposed leader learns the term from this and stops disturbing; without it a member with a
    // higher term that others ignore could never come back (etcd #8501).
    if (!SKEP_MUTANT(kOldLeaderNotAnswered)) {
      send({.type = MessageType::kAppendReply, .to = message.from});
    }
  } else if (message.type == MessageType::kPreVote) {
    send({.type = MessageType::kPreVoteReply, .to = message.from, .term = term_, .reject = true});
  }
  return false;
}

void Raft::answer_vote(const Message& message) {
  const bool pre = message.type == MessageType::kPreVote;
  const bool can_vote = vote_ == message.from || (vote_ == kNobody && leader_ == kNobody) ||
                        (pre && message.term > term_) || SKEP_MUTANT(kVotesTwice);
  const auto reply = pre ? MessageType::kPreVoteReply : MessageType::kVoteReply;
  if (!can_vote || !(log_.is_up_to_date(message.index, message.log_term) ||
                     SKEP_MUTANT(kVoteIgnoresLog))) {
    send({.type = reply, .to = message.from, .term = term_, .reject = true});
    return;
  }
  // A granted pre-vote carries the future term, or its asker would take it for an old answer.
  send({.type = reply, .to = message.from, .term = message.term});
  if (!pre) {
    election_elapsed_ = 0;
    vote_ = message.from;
  }
}

Status Raft::step(Message message) {
  if (message.from == kNobody) {
    return Error{Code::kInvalidArgument, "a raft message without a sender"};
  }
  if (message.term != 0 && !step_term(message)) {
    return ok();
  }
  if (message.type == MessageType::kVote || message.type == MessageType::kPreVote) {
    answer_vote(message);
    return ok();
  }
  switch (role_) {
    case Role::kFollower: step_follower(message); break;
    case Role::kPreCandidate:
    case Role::kCandidate: step_candidate(message); break;
    case Role::kLeader: step_leader(message); break;
  }
  return ok();
}

}  // namespace skep::raft
