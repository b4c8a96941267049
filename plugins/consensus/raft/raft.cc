#include "plugins/consensus/raft/raft.h"

#include <algorithm>

#include "skep/mutant.h"

namespace skep::raft {

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kFollower: return "follower";
    case Role::kPreCandidate: return "pre-candidate";
    case Role::kCandidate: return "candidate";
    case Role::kLeader: return "leader";
  }
  SKEP_UNREACHABLE();
}

Raft::Raft(RaftOptions options, LogStorage& storage, const HardState& state, Membership members,
           Index applied)
    : options_(std::move(options)), log_(storage) {
  ensure(options_.id != kNobody && options_.random != nullptr, "a member has an id and chance");
  ensure(state.commit <= log_.last_index(), "the log holds what was committed");
  log_.commit_to(state.commit);
  awaits_state_ = applied < log_.applied();
  if (applied > log_.applied()) {
    // The state the caller holds proves that these entries were committed.
    log_.commit_to(applied);
    log_.set_applied(applied);
  }
  term_ = state.term;
  vote_ = state.vote;
  use_members(std::move(members));
  become_follower(term_, kNobody);
  reported_soft_ = {leader_, role_};
  reported_hard_ = hard_state();
}

HardState Raft::hard_state() const { return {term_, vote_, log_.committed()}; }

bool Raft::is_only_voter() const {
  return quorum_.outgoing.empty() && quorum_.incoming == std::set<MemberId>{options_.id};
}

bool Raft::needs_ticks() const {
  return !(role_ == Role::kLeader && is_only_voter() && progress_.size() == 1 &&
           transferee_ == kNobody);
}

bool Raft::can_stand() const {
  return members_.is_voter(options_.id) && !awaits_state_;
}

void Raft::use_members(Membership members) {
  members_ = std::move(members);
  quorum_ = quorum_of(members_);
  std::set<MemberId> ids = quorum_.all();
  for (const Member& member : members_.members) {
    ids.insert(member.id);
  }
  std::erase_if(progress_, [&](const auto& one) { return !ids.contains(one.first); });
  for (const MemberId id : ids) {
    // A newcomer counts as active, or the next quorum check would depose the leader that added it.
    progress_.try_emplace(id, Progress{.next = log_.last_index() + 1, .recent_active = true});
  }
  if (role_ == Role::kLeader && is_only_voter()) {
    // Nobody is left whose answer these reads could wait for.
    for (const auto& one : barriers_.confirm(barriers_.last_context())) {
      respond_read(one.request, one.index);
    }
  }
}

void Raft::reset(Term term) {
  if (term_ != term || SKEP_MUTANT(kStepDownForgetsVote)) {
    term_ = term;
    vote_ = kNobody;
  }
  leader_ = kNobody;
  transferee_ = kNobody;
  election_elapsed_ = 0;
  heartbeat_elapsed_ = 0;
  draw_election_timeout();
  votes_.clear();
  for (auto& [id, progress] : progress_) {
    progress = Progress{.next = log_.last_index() + 1};
    if (id == options_.id) {
      progress.match = log_.last_index();
    }
  }
  pending_config_index_ = 0;
  uncommitted_bytes_ = 0;
  barriers_.clear();
  early_reads_.clear();
}

void Raft::become_follower(Term term, MemberId leader) {
  reset(term);
  leader_ = leader;
  role_ = Role::kFollower;
}

void Raft::become_pre_candidate() {
  ensure(role_ != Role::kLeader, "a leader does not stand for election");
  // Term and vote stay: a pre-vote promises nothing.
  vote_ = SKEP_MUTANT(kPreVoteClearsVote) ? kNobody : vote_;
  votes_.clear();
  leader_ = kNobody;
  role_ = Role::kPreCandidate;
}

void Raft::become_candidate() {
  ensure(role_ != Role::kLeader, "a leader does not stand for election");
  reset(term_ + 1);
  vote_ = options_.id;
  role_ = Role::kCandidate;
}

void Raft::become_leader() {
  ensure(role_ == Role::kCandidate, "only a candidate becomes leader");
  reset(term_);
  leader_ = options_.id;
  role_ = Role::kLeader;
  Progress& self = progress_[options_.id];
  self.become_replicate();
  self.recent_active = true;
  // An older change may be among the uncommitted entries: wait until all of them are applied.
  pending_config_index_ = log_.last_index();
  if (!SKEP_MUTANT(kNoEntryAtTermStart)) {
    append_own({Entry{.kind = EntryKind::kNoop}});
  }
}

void Raft::send(Message message) {
  message.from = options_.id;
  switch (message.type) {
    case MessageType::kVote:
    case MessageType::kPreVote:
    case MessageType::kVoteReply:
    case MessageType::kPreVoteReply:
      ensure(message.term != 0, "a vote names its term");
      break;
    case MessageType::kReadIndex:
      break;
    case MessageType::kAppendReply:
    case MessageType::kHeartbeatReply:
      message.awaits_state = awaits_state_;
      message.term = term_;
      break;
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kSnapshot:
    case MessageType::kReadIndexReply:
    case MessageType::kTimeoutNow:
      message.term = term_;
  }
  // Replies promise what is on disk: the entries accepted, the vote given, the term seen. Who asks for votes shows its
  // log and has its own vote: without them after a crash, it could count late votes for what it has lost.
  const bool promises = message.type == MessageType::kAppendReply || message.type == MessageType::kVote ||
                        message.type == MessageType::kVoteReply ||
                        message.type == MessageType::kPreVoteReply;
  if (promises) {
    messages_after_sync_.push_back(std::move(message));
  } else {
    ensure(message.to != options_.id, "only replies are sent to oneself");
    messages_.push_back(std::move(message));
  }
}

bool Raft::has_ready() const {
  return !messages_.empty() || !messages_after_sync_.empty() || !reads_.empty() ||
         log_.has_unstable() || (!awaits_state_ && log_.has_next_committed()) ||
         log_.pending_snapshot() ||
         reported_soft_ != SoftState{leader_, role_} || reported_hard_ != hard_state();
}

Ready Raft::ready() {
  Ready ready;
  if (const SoftState soft{leader_, role_}; soft != reported_soft_) {
    ready.soft_state = soft;
  }
  ready.entries = log_.next_unstable(options_.ready_bytes_max);
  const bool all_entries =
      ready.entries.empty() || ready.entries.back().index == log_.last_index();
  if (!awaits_state_) {
    ready.committed = log_.next_committed(options_.ready_bytes_max);
  }
  const bool members_change = changes_members(ready.committed);
  if (const HardState hard = hard_state(); hard != reported_hard_ || members_change) {
    ready.hard_state = hard;
    // The commit hint never runs ahead of what is written with it.
    const Index written = ready.entries.empty() ? log_.last_index() : ready.entries.back().index;
    ready.hard_state->commit = std::min(hard.commit, written);
    ready.must_sync = !SKEP_MUTANT(kVoteNotSynced) &&
                      (hard.term != reported_hard_.term || hard.vote != reported_hard_.vote || members_change);
  }
  ready.must_sync = ready.must_sync || !ready.entries.empty() || log_.pending_snapshot();
  ready.snapshot = log_.pending_snapshot();
  (members_change ? ready.messages_after_sync : ready.messages) = std::move(messages_);
  messages_.clear();
  if (all_entries) {
    std::move(messages_after_sync_.begin(), messages_after_sync_.end(), std::back_inserter(ready.messages_after_sync));
    messages_after_sync_.clear();
  }
  ready.reads = std::move(reads_);
  reads_.clear();
  return ready;
}

/// Who left ends when it hears of it. Whoever tells must know by its own log that the change is committed: of two
/// members, the one that forgot it in a restart would miss the vote of the one that left, and never lead again.
bool Raft::changes_members(const std::vector<Entry>& committed) const {
  const Index handed_on = committed.empty() ? log_.applied() : committed.back().index;
  const bool later_round = role_ == Role::kLeader && pending_config_index_ > handed_on &&
                           pending_config_index_ <= log_.committed();
  return later_round || std::any_of(committed.begin(), committed.end(), [](const Entry& entry) {
           return entry.kind == EntryKind::kConfig;
         });
}

void Raft::advance(const Ready& ready) {
  if (ready.soft_state) {
    reported_soft_ = *ready.soft_state;
  }
  if (ready.hard_state) {
    reported_hard_ = *ready.hard_state;
  }
  if (!ready.entries.empty()) {
    log_.stable_to(ready.entries.back().index, ready.entries.back().term);
  }
  if (ready.snapshot) {
    log_.stable_snapshot(ready.snapshot->index);
  }
  for (const Message& message : ready.messages_after_sync) {
    if (message.to == options_.id) {
      SKEP_ASSERT(step(message), "messages to oneself are of types that travel");
    }
  }
  apply(ready.committed);
}

void Raft::apply(const std::vector<Entry>& committed) {
  for (const Entry& entry : committed) {
    log_.set_applied(entry.index);
    if (entry.kind == EntryKind::kConfig) {
      apply_config(entry);
    }
  }
  if (!committed.empty()) {
    reduce_uncommitted(committed);
    maybe_auto_leave();
  }
}

void Raft::state_installed() {
  if (awaits_state_) {
    awaits_state_ = false;
    log_.set_applied(std::max(log_.applied(), log_.mark().index));
  }
}

}  // namespace skep::raft
