// The leader's part of the Raft state machine: proposals, replication, commit. See raft.h.

#include <algorithm>
#include <numeric>

#include "plugins/consensus/raft/raft.h"
#include "skep/mutant.h"

namespace skep::raft {
namespace {

Error not_leader(MemberId leader) {
  return Error{Code::kUnavailable,
               leader == kNobody ? "there is no leader now, try again"
                                 : "member " + std::to_string(leader) + " leads",
               "NOT_LEADER"};
}

std::size_t payload_bytes(const std::vector<Entry>& entries) {
  return std::accumulate(
      entries.begin(), entries.end(), std::size_t{0},
      [](std::size_t sum, const Entry& entry) { return sum + entry.data.size(); });
}

}  // namespace

void Raft::append_own(std::vector<Entry> entries) {
  Index index = log_.last_index();
  for (Entry& entry : entries) {
    entry.index = ++index;
    entry.term = term_;
  }
  uncommitted_bytes_ += payload_bytes(entries);
  log_.append(std::move(entries));
  // Our own copy counts once it is on disk: also a cluster of one waits for its sync.
  send({.type = MessageType::kAppendReply, .to = options_.id, .index = index});
}

Result<Raft::Accepted> Raft::propose(std::string data) {
  if (data.size() > kEntryBytesMax) {
    return Error{Code::kInvalidArgument,
                 "a change of " + std::to_string(data.size()) + " bytes is larger than 1.5 MiB",
                 "ENTRY_TOO_LARGE"};
  }
  if (role_ != Role::kLeader || !progress_.contains(options_.id)) {
    return not_leader(leader_);
  }
  if (transferee_ != kNobody) {
    return Error{Code::kUnavailable, "leadership is being handed over, try again", "PROPOSAL_DROPPED"};
  }
  if (uncommitted_bytes_ > 0 && uncommitted_bytes_ + data.size() > options_.uncommitted_bytes_max) {
    return Error{Code::kResourceExhausted, "too many changes wait for a quorum, try again later",
                 "UNCOMMITTED_LIMIT"};
  }
  append_own({Entry{.kind = EntryKind::kNormal, .data = std::move(data)}});
  broadcast_append();
  return Accepted{log_.last_index(), term_};
}

Result<Raft::Accepted> Raft::propose_change(const ConfigChange& change) {
  if (role_ != Role::kLeader || transferee_ != kNobody) {
    return not_leader(leader_);
  }
  // The no-op of this term first: else two leaders' changes could overlap (raft-dev, July 2015).
  if (!committed_in_term() || pending_config_index_ > log_.applied()) {
    return Error{Code::kFailedPrecondition, "a change of the members is still under way, try again",
                 "CHANGE_UNDER_WAY"};
  }
  SKEP_TRY(apply_change(members_, change));
  std::string data = encode_config_change(change);
  if (data.size() > kEntryBytesMax) {
    return Error{Code::kInvalidArgument, "the change of the members is too large"};
  }
  append_own({Entry{.kind = EntryKind::kConfig, .data = std::move(data)}});
  pending_config_index_ = log_.last_index();
  broadcast_append();
  return Accepted{log_.last_index(), term_};
}

void Raft::apply_config(const Entry& entry) {
  const auto change = decode_config_change(entry.data);
  auto after = change ? apply_change(members_, *change) : Result<Membership>(change.error());
  if (!after) {
    return;  // Every member refuses it in the same way.
  }
  use_members(*std::move(after));
  if (role_ != Role::kLeader) {
    return;
  }
  if (!members_.is_voter(options_.id)) {
    return step_down_removed();
  }
  if (transferee_ != kNobody && !quorum_.contains(transferee_)) {
    transferee_ = kNobody;
  }
  // A smaller quorum may have what is needed already.
  maybe_commit();
  broadcast_append();
}

void Raft::maybe_auto_leave() {
  // Also a new leader finishes what the old one began, once nothing else can be in its log.
  if (role_ == Role::kLeader && members_.auto_leave && !members_.outgoing.empty() &&
      log_.applied() >= pending_config_index_) {
    append_own({Entry{.kind = EntryKind::kConfig, .data = encode_config_change({})}});
    pending_config_index_ = log_.last_index();
    broadcast_append();
  }
}

bool Raft::maybe_commit() {
  Index index = quorum_.committed_index([this](MemberId id) {
    const auto found = progress_.find(id);
    return found == progress_.end() ? Index{0} : found->second.match;
  });
  if (const auto [heir, before] = find_heir(index); heir != kNobody) {
    index = before;
    if (transferee_ == kNobody) {
      (void)transfer_leadership(heir);  // the tick asks again
    }
  }
  // Only entries of this term are committed by counting; older ones with them.
  if (index <= log_.committed() ||
      (log_.term(index) != term_ && !SKEP_MUTANT(kCommitsOlderTerms))) {
    return false;
  }
  log_.commit_to(index);
  return true;
}

void Raft::reduce_uncommitted(const std::vector<Entry>& committed) {
  uncommitted_bytes_ -= std::min(uncommitted_bytes_, payload_bytes(committed));
}

bool Raft::maybe_send_append(MemberId to, bool send_if_empty) {
  Progress& progress = progress_.at(to);
  if (progress.is_paused()) {
    return false;
  }
  const auto previous_term = log_.term(progress.next - 1);
  if (!previous_term || progress.next < log_.first_index()) {
    return send_snapshot(to, progress);
  }
  std::vector<Entry> entries;
  const bool replicating = progress.state == ProgressState::kReplicate;
  if (!replicating || !progress.inflights.full(options_.flow)) {
    entries = log_.entries(progress.next, log_.last_index(), options_.flow.message_bytes_max);
  }
  if (entries.empty() && !send_if_empty) {
    return false;
  }
  const std::size_t count = entries.size();
  const std::size_t bytes = payload_bytes(entries);
  send({.type = MessageType::kAppend,
        .to = to,
        .log_term = *previous_term,
        .index = progress.next - 1,
        .commit = log_.committed(),
        .entries = std::move(entries)});
  progress.sent_entries(count, bytes, options_.flow);
  progress.sent_commit_index(log_.committed());
  return true;
}

bool Raft::send_snapshot(MemberId to, Progress& progress) {
  if (!progress.recent_active) {
    return false;
  }
  // Not the mark our own log was compacted at: this one names every member of now, and the state
  // that is fetched holds at least as much.
  const SnapshotMark mark{log_.applied(), log_.term(log_.applied()).value_or(0), members_, false};
  ensure(mark.term != 0, "what is applied last is in the log or its mark");
  progress.become_snapshot(mark.index);
  send({.type = MessageType::kSnapshot, .to = to, .snapshot = mark});
  return true;
}

void Raft::broadcast_append() {
  for (const auto& [id, progress] : progress_) {
    if (id != options_.id) {
      maybe_send_append(id, true);
    }
  }
}

void Raft::broadcast_heartbeat(const std::string& context) {
  for (const auto& [id, progress] : progress_) {
    if (id != options_.id) {
      // Never beyond what the follower surely has: it may hold other entries there.
      send({.type = MessageType::kHeartbeat,
            .to = id,
            .commit = SKEP_MUTANT(kHeartbeatCommitsBlindly)
                          ? log_.committed()
                          : std::min(progress.match, log_.committed()),
            .context = context});
    }
  }
}

bool Raft::quorum_active() {
  std::map<MemberId, bool> active;
  for (const auto& [id, progress] : progress_) {
    active[id] = id == options_.id || progress.recent_active;
  }
  for (auto& [id, progress] : progress_) {
    progress.recent_active = id == options_.id;
  }
  return quorum_.vote_result(active) == VoteResult::kWon;
}

/// The mark or its answer was lost, or the follower started again: probe it anew.
void Raft::give_up_lost_snapshots() {
  for (auto& [id, progress] : progress_) {
    if (progress.state == ProgressState::kSnapshot && !SKEP_MUTANT(kLostSnapshotNotRepeated) &&
        ++progress.snapshot_age * options_.heartbeat_ticks >= options_.election_ticks) {
      progress.pending_snapshot = 0;
      progress.become_probe();
    }
  }
}

void Raft::tick_leader() {
  for (auto& [id, progress] : progress_) {
    progress.silent_ticks = std::min(progress.silent_ticks + 1, Progress::kNeverHeard);
  }
  ++heartbeat_elapsed_;
  ++election_elapsed_;
  if (election_elapsed_ >= options_.election_ticks) {
    election_elapsed_ = 0;
    if (options_.check_quorum && !quorum_active()) {
      become_follower(term_, kNobody);
      return;
    }
    transferee_ = kNobody;  // It did not take over in time: serve on.
    if (maybe_commit()) {   // or ask it again
      broadcast_append();
    }
  }
  if (heartbeat_elapsed_ >= options_.heartbeat_ticks) {
    heartbeat_elapsed_ = 0;
    give_up_lost_snapshots();
    broadcast_heartbeat(barriers_.last_context());
  }
}

void Raft::on_append_reply(const Message& message, Progress& to) {
  to.heard(message.awaits_state);
  if (message.reject) {
    Index hint = message.reject_hint;
    if (message.log_term > 0) {
      hint = log_.find_conflict_by_term(message.reject_hint, message.log_term).first;
    }
    if (to.maybe_decrease(message.index, hint)) {
      if (to.state == ProgressState::kReplicate) {
        to.become_probe();
      }
      maybe_send_append(message.from, true);
    }
    return;
  }
  const bool probe_matched = to.match == message.index && to.state == ProgressState::kProbe;
  if (!to.maybe_update(message.index) && !probe_matched) {
    return;
  }
  if (to.state == ProgressState::kProbe) {
    to.become_replicate();
  } else if (to.state == ProgressState::kSnapshot && to.match + 1 >= log_.first_index()) {
    to.become_probe();
    to.become_replicate();
  } else if (to.state == ProgressState::kReplicate) {
    to.inflights.free_up_to(message.index);
  }
  to.paused = false;
  if (maybe_commit()) {
    release_pending_reads();
    broadcast_append();
  } else if (message.from != options_.id && to.can_bump_commit(log_.committed())) {
    maybe_send_append(message.from, true);
  }
  if (message.from != options_.id) {
    while (maybe_send_append(message.from, false)) {
    }
  }
  if (message.from == transferee_ && to.match == log_.last_index()) {
    send({.type = MessageType::kTimeoutNow, .to = message.from});
  }
}

void Raft::on_heartbeat_reply(const Message& message, Progress& to) {
  to.heard(message.awaits_state);
  // Also with everything in flight: an empty append finds out what was lost.
  to.paused = SKEP_MUTANT(kProbeStaysPaused) && to.paused;
  if (to.match < log_.last_index() || to.state == ProgressState::kProbe) {
    maybe_send_append(message.from, true);
  }
  if (message.context.empty()) {
    return;
  }
  const std::set<MemberId>* acknowledged = barriers_.acknowledge(message.from, message.context);
  if (acknowledged == nullptr) {
    return;
  }
  std::map<MemberId, bool> votes;
  for (const MemberId id : *acknowledged) {
    votes[id] = true;
  }
  if (quorum_.vote_result(votes) == VoteResult::kWon) {
    for (const auto& waiting : barriers_.confirm(message.context)) {
      respond_read(waiting.request, waiting.index);
    }
    if (barriers_.size() > 0) {
      broadcast_heartbeat(barriers_.last_context());
    }
  }
}

void Raft::step_leader(Message& message) {
  if (message.type == MessageType::kReadIndex) {
    serve_read(message);
    return;
  }
  const auto found = progress_.find(message.from);
  if (found == progress_.end()) {
    return;  // Removed meanwhile.
  }
  switch (message.type) {
    case MessageType::kAppendReply:
      on_append_reply(message, found->second);
      return;
    case MessageType::kHeartbeatReply:
      on_heartbeat_reply(message, found->second);
      return;
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kSnapshot:
      throw BrokenInvariant("two leaders in one term");
    case MessageType::kPreVote:
    case MessageType::kPreVoteReply:
    case MessageType::kVote:
    case MessageType::kVoteReply:
    case MessageType::kReadIndex:
    case MessageType::kReadIndexReply:
    case MessageType::kTimeoutNow:
      return;
  }
}

void Raft::report_unreachable(MemberId id) {
  const auto found = progress_.find(id);
  // What was sent optimistically may be lost.
  if (role_ == Role::kLeader && found != progress_.end() &&
      found->second.state == ProgressState::kReplicate) {
    found->second.become_probe();
  }
}

Status Raft::transfer_leadership(MemberId to) {
  if (role_ != Role::kLeader) {
    return not_leader(leader_);
  }
  const auto found = progress_.find(to);
  if (found == progress_.end() || !quorum_.contains(to)) {
    return Error{Code::kInvalidArgument,
                 "member " + std::to_string(to) + " is no voter and cannot lead", "NOT_A_VOTER"};
  }
  if (to == options_.id || to == transferee_) {
    return ok();
  }
  election_elapsed_ = 0;  // One election timeout for the whole of it.
  transferee_ = to;
  if (found->second.match == log_.last_index()) {
    send({.type = MessageType::kTimeoutNow, .to = to});
  } else {
    found->second.paused = false;
    maybe_send_append(to, true);
  }
  return ok();
}

}  // namespace skep::raft
