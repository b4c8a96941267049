#pragma once

// Reads that wait until a quorum confirmed that this leader still leads. Each request has a unique
// context; heartbeats carry the newest one, and confirming it confirms all before it.

#include <deque>
#include <set>
#include <string>
#include <vector>

#include "plugins/consensus/raft/message.h"

namespace skep::raft {

inline constexpr std::size_t kWaitingReadsMax = 10'000;

class ReadBarriers {
 public:
  struct Waiting {
    Message request;
    Index index = 0;  ///< the commit index when it came
    std::set<MemberId> acknowledged;
  };

  void add(Message request, Index commit, MemberId self);
  /// The members that confirmed `context` so far; nullptr when it is unknown.
  const std::set<MemberId>* acknowledge(MemberId from, const std::string& context);
  /// Takes out `context` and everything before it.
  std::vector<Waiting> confirm(const std::string& context);
  void clear() { waiting_.clear(); }
  /// The newest context, empty when none waits: heartbeats carry it.
  [[nodiscard]] std::string last_context() const {
    return waiting_.empty() ? std::string() : waiting_.back().request.context;
  }
  [[nodiscard]] std::size_t size() const { return waiting_.size(); }

 private:
  std::deque<Waiting> waiting_;
};

}  // namespace skep::raft
