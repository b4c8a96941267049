#pragma once

// The Raft state machine of one member, pure and single-threaded: time (tick), messages (step) and
// proposals go in, a Ready of things to do comes out. No disk, clock, network or lock inside. The
// shape and the rules are etcd's; changes of the members take effect when advance() applies them.
//
// One round:  ready = raft.ready(); send ready.messages; write ready.entries and ready.hard_state, sync;
//             send ready.messages_after_sync; hand on ready.committed; raft.advance(ready);
// Between ready() and advance() nothing else may be called.
//
// A member that lags behind the leader's log gets a snapshot mark. It takes part at once (all below
// the mark is committed), but neither stands for election nor hands on entries until the state up to
// the mark was fetched: awaits_state(), state_installed().
//
// Throws BrokenInvariant when it finds itself wrong; the member must then stop for good.

#include <map>

#include "plugins/consensus/raft/membership.h"
#include "plugins/consensus/raft/raft_log.h"
#include "plugins/consensus/raft/read_barriers.h"
#include "plugins/consensus/raft/ready.h"

namespace skep::raft {

class Raft {
 public:
  /// `applied`: what the caller's state already holds; entries above it are handed on. Below the
  /// snapshot mark it means that the state must be fetched.
  Raft(RaftOptions options, LogStorage& storage, const HardState& state, Membership members,
       Index applied);

  void tick();
  /// A message from another member. kInvalidArgument: of a type that never travels.
  Status step(Message message);
  struct Accepted {
    Index index = 0;
    Term term = 0;
  };
  /// kUnavailable NOT_LEADER, PROPOSAL_DROPPED: surely not in the log. kResourceExhausted: too much is
  /// uncommitted. kInvalidArgument: larger than kEntryBytesMax.
  Result<Accepted> propose(std::string data);
  /// kFailedPrecondition CHANGE_UNDER_WAY: one at a time, and not before the term's first commit.
  Result<Accepted> propose_change(const ConfigChange& change);
  /// Asks for a ReadState with `context` (unique). kUnavailable: no leader known, ask again.
  Status read_index(std::string context);
  /// Starts an election now, if this member may stand.
  void campaign();
  /// kInvalidArgument: no voter of that id. kUnavailable: not the leader.
  Status transfer_leadership(MemberId to);
  /// Of a leader that is to leave (raft_leaving.cc): the voter that has most of the log, when the others that answered
  /// lately are a majority without this member; else kNobody.
  [[nodiscard]] MemberId best_heir() const;
  /// What asks `heir` to stand at once. A leader that cannot store sends it beside the rounds: it promises nothing.
  [[nodiscard]] Message ask_to_lead(MemberId heir) const;
  /// Follows from now on, without knowing whom. Nothing when it does not lead.
  void step_aside();
  /// Stands for election later than the others do, so only when none of them wins.
  void set_reluctant(bool reluctant);
  void report_unreachable(MemberId id);
  /// The connection to the leader closed: forget it, so that its lease no longer binds this member,
  /// and stand for election soon.
  void report_leader_gone();
  [[nodiscard]] bool awaits_state() const { return awaits_state_; }
  /// The state was fetched; it holds everything up to the mark (or more, which is skipped then).
  void state_installed();

  [[nodiscard]] bool has_ready() const;
  Ready ready();
  void advance(const Ready& ready);

  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] MemberId leader() const { return leader_; }
  [[nodiscard]] Term term() const { return term_; }
  [[nodiscard]] MemberId vote() const { return vote_; }
  [[nodiscard]] const RaftLog& log() const { return log_; }
  [[nodiscard]] const Membership& members() const { return members_; }
  [[nodiscard]] const std::map<MemberId, Progress>& progress() const { return progress_; }
  [[nodiscard]] std::size_t uncommitted_bytes() const { return uncommitted_bytes_; }
  [[nodiscard]] bool is_only_voter() const;
  /// False while nothing depends on time: the leader of a cluster of one.
  [[nodiscard]] bool needs_ticks() const;
  [[nodiscard]] bool can_stand() const;

 private:
  // raft.cc: state and Ready
  void reset(Term term);
  void become_follower(Term term, MemberId leader);
  void become_pre_candidate();
  void become_candidate();
  void become_leader();
  void send(Message message);
  void use_members(Membership members);
  void apply(const std::vector<Entry>& committed);
  void apply_config(const Entry& entry);
  void maybe_auto_leave();
  [[nodiscard]] HardState hard_state() const;
  // raft_election.cc
  enum class Campaign : std::uint8_t { kPreVote, kElection, kTransfer };
  void hup(Campaign kind);
  void start_campaign(Campaign kind);
  void poll(MemberId from, MessageType type, bool granted);
  void answer_vote(const Message& message);
  bool step_term(const Message& message);
  void step_candidate(Message& message);
  void draw_election_timeout();
  [[nodiscard]] unsigned reluctance() const { return reluctant_ ? 2 * options_.election_ticks : 0; }
  [[nodiscard]] bool unapplied_config_change() const;
  // raft_leader.cc, raft_leaving.cc
  void step_leader(Message& message);
  void on_append_reply(const Message& message, Progress& to);
  void on_heartbeat_reply(const Message& message, Progress& to);
  void tick_leader();
  void give_up_lost_snapshots();
  void append_own(std::vector<Entry> entries);
  bool maybe_commit();
  [[nodiscard]] std::pair<MemberId, Index> find_heir(Index index) const;
  bool maybe_send_append(MemberId to, bool send_if_empty);
  bool send_snapshot(MemberId to, Progress& progress);
  void step_down_removed();
  void broadcast_append();
  void broadcast_heartbeat(const std::string& context);
  [[nodiscard]] bool quorum_active();
  [[nodiscard]] bool changes_members(const std::vector<Entry>& committed) const;
  void reduce_uncommitted(const std::vector<Entry>& committed);
  // raft_follower.cc
  void step_follower(Message& message);
  void handle_append(Message& message);
  void handle_heartbeat(const Message& message);
  void handle_snapshot(const Message& message);
  // raft_reads.cc
  [[nodiscard]] bool committed_in_term() const;
  void serve_read(const Message& message);
  void respond_read(const Message& request, Index index);
  void release_pending_reads();

  RaftOptions options_;
  RaftLog log_;
  Role role_ = Role::kFollower;
  Term term_ = 0;
  MemberId vote_ = kNobody;
  MemberId leader_ = kNobody;
  MemberId transferee_ = kNobody;
  bool awaits_state_ = false;
  bool reluctant_ = false;
  Membership members_;
  Quorum quorum_;
  std::map<MemberId, Progress> progress_;
  std::map<MemberId, bool> votes_;
  Index pending_config_index_ = 0;  ///< a change may lie in the log up to here
  std::size_t uncommitted_bytes_ = 0;
  unsigned election_elapsed_ = 0;
  unsigned heartbeat_elapsed_ = 0;
  unsigned election_timeout_ = 0;
  ReadBarriers barriers_;
  std::vector<Message> early_reads_;  ///< came before the term's first commit
  std::vector<Message> messages_;
  std::vector<Message> messages_after_sync_;
  std::vector<ReadState> reads_;
  SoftState reported_soft_;
  HardState reported_hard_;
};

}  // namespace skep::raft
