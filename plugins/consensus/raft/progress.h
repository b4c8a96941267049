#pragma once

// What a leader knows of one follower's log, and how much it may send it now.

#include <deque>

#include "plugins/consensus/raft/types.h"

namespace skep::raft {

struct FlowLimits {
  /// While two are on their way, what is proposed gathers to one message: with 64 clients that makes three times as many
  /// commits a second as a message for each (`make bench`), and a single client never waits for it.
  std::size_t inflight_messages_max = 2;
  std::size_t inflight_bytes_max = 16ULL << 20;
  std::size_t message_bytes_max = 1ULL << 20;
};

/// Append messages sent and not answered, oldest first.
class Inflights {
 public:
  void add(Index last_index, std::size_t bytes);
  void free_up_to(Index index);
  void clear();
  [[nodiscard]] bool full(const FlowLimits& limits) const {
    return sent_.size() >= limits.inflight_messages_max || bytes_ >= limits.inflight_bytes_max;
  }
  [[nodiscard]] std::size_t count() const { return sent_.size(); }

 private:
  struct Sent {
    Index last_index;
    std::size_t bytes;
  };
  std::deque<Sent> sent_;
  std::size_t bytes_ = 0;
};

enum class ProgressState : std::uint8_t {
  kProbe,      ///< match unknown: one message per heartbeat
  kReplicate,  ///< pipelining
  kSnapshot,   ///< its next entry is gone: waits until a snapshot was installed
};

struct Progress {
  static constexpr unsigned kNeverHeard = 1'000'000;
  Index match = 0;  ///< its log surely agrees up to here
  Index next = 1;   ///< send from here
  Index sent_commit = 0;
  Index pending_snapshot = 0;  ///< sent, its answer is awaited
  unsigned snapshot_age = 0;  ///< heartbeats since
  ProgressState state = ProgressState::kProbe;
  bool recent_active = false;
  bool awaits_state = false;  ///< it must fetch the state first, and cannot lead
  unsigned silent_ticks = kNeverHeard;  ///< since its last answer
  bool paused = false;  ///< probe: waits for the answer; replicate: everything is in flight
  Inflights inflights = {};

  void heard(bool must_fetch_state) {
    recent_active = true;
    silent_ticks = 0;
    awaits_state = must_fetch_state;
  }
  void become_probe();
  void become_replicate();
  void become_snapshot(Index snapshot_index);
  /// Whether the answer is news.
  bool maybe_update(Index index);
  /// A rejection of `rejected` with the follower's hint; false when it is stale.
  bool maybe_decrease(Index rejected, Index hint);
  void sent_entries(std::size_t count, std::size_t bytes, const FlowLimits& limits);
  void sent_commit_index(Index commit) { sent_commit = commit; }
  [[nodiscard]] bool can_bump_commit(Index index) const {
    return index > sent_commit && sent_commit < next - 1;
  }
  [[nodiscard]] bool is_paused() const { return state == ProgressState::kSnapshot || paused; }
};

}  // namespace skep::raft
