#pragma once

// Judges the disk of one member, from how long it takes to store and from whether there is room: a leader
// whose disk is full or slow hands its role on, and its member stands for election later than others until the
// disk was good for a while. Pure: whoever asks tells the time. Node-local.
//
// Full: for half an election timeout nothing could be stored. A moment without room is no reason; twice that
// and followers of a leader that stands still begin to stand by themselves.
// Slow: the mean of the newest syncs (8 to 16 of them, none older than a minute) is above half an election
// timeout, which is a write every client waits for; or the newest alone took two timeouts, more than any follower's
// patience. A mean, since one hiccup of a disk costs less than a change of the leader.

#include <cstddef>
#include <deque>
#include <optional>
#include <string>

#include "plugins/consensus/raft/types.h"
#include "skep/env.h"

namespace skep::raft {

class HandOver {
 public:
  enum class Reason : std::uint8_t { kNone, kFull, kSlow };

  explicit HandOver(Duration election_timeout) : timeout_(election_timeout) {}

  /// Something was stored, and that took so long.
  void on_sync(TimePoint now, Duration took);
  /// There is no room for `bytes`. Again as often as that is found.
  void on_full(TimePoint now, std::string why, std::size_t bytes);
  void on_room();
  /// What there was no room for; nullptr while there is.
  [[nodiscard]] const std::string* full() const { return full_ ? &full_->why : nullptr; }
  [[nodiscard]] std::size_t bytes_wanted() const { return full_ ? full_->bytes : 0; }

  /// Why a leader of `term` should hand over now. kNone as well when it just did: it tries again after two timeouts when
  /// nobody took over, and with the next term not before a minute, so that bad disks do not pass the role around.
  [[nodiscard]] Reason wanted(TimePoint now, Term term) const;
  void on_handed_over(TimePoint now, Term term);
  /// The disk was bad within the last 30 s.
  [[nodiscard]] bool reluctant(TimePoint now) const;
  /// Of the syncs that are judged.
  [[nodiscard]] Duration mean_sync(TimePoint now) const;

 private:
  struct Full {
    TimePoint since;
    std::string why;
    std::size_t bytes = 0;
  };
  struct Sync {
    TimePoint at;
    Duration took;
  };
  struct Attempt {
    TimePoint at;
    Term term = 0;
  };
  [[nodiscard]] bool slow(TimePoint now) const;

  const Duration timeout_;
  std::optional<Full> full_;
  std::deque<Sync> syncs_;  ///< newest last
  std::optional<Attempt> attempt_;
  std::optional<TimePoint> bad_at_;
};

}  // namespace skep::raft
