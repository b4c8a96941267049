#pragma once

// Below which entry the log may be compacted: the newest state that is safe on disk, or, when the
// swarm wants older ones kept (--max-snapshots), one so many intervals before it. Pure.

#include <algorithm>
#include <cstdint>
#include <deque>

#include "core/model/defaults.h"

namespace skep::control {

class SnapshotMarks {
 public:
  struct Mark {
    std::uint64_t index = 0;
    std::uint64_t term = 0;
  };
  /// `kept` marks (at most model::kSnapshotsKeptMax) behind the newest, `interval` entries apart.
  void keep(std::uint64_t kept, std::uint64_t interval) {
    kept_ = std::min(kept, model::kSnapshotsKeptMax);
    interval_ = interval;
  }
  /// The state up to `newest` is safe. Answers from which mark on the log is wanted.
  Mark synced(Mark newest) {
    const std::size_t count = marks_.size();
    // The newest mark moves until it is an interval away from the one before.
    if (count >= 2 && newest.index - marks_[count - 2].index < interval_) {
      marks_.back() = newest;
    } else {
      marks_.push_back(newest);
    }
    while (marks_.size() > kept_ + 1) {
      marks_.pop_front();
    }
    return marks_.front();
  }

 private:
  std::deque<Mark> marks_;
  std::uint64_t kept_ = 0;
  std::uint64_t interval_ = 1;
};

}  // namespace skep::control
