#pragma once

// What must always hold of the logs: one leader and one vote per term, logs that agree on an entry agree on
// all before it, a new leader holds what earlier ones committed, terms and commits never go back.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/consensus/raft/raft.h"

namespace skep::sim {

/// The message between members that a frame carries. Only short ones: large ones hold entries or a state.
std::optional<raft::Message> raft_message(std::string_view header, std::string_view body);

class RaftInvariants {
 public:
  /// One member's log as it is now.
  struct Member {
    raft::MemberId id = raft::kNobody;
    const raft::Raft* raft = nullptr;
  };
  explicit RaftInvariants(std::function<void(const std::string&)> violate)
      : violate_(std::move(violate)) {}

  /// At every moment that may be worth it.
  void look(const std::vector<Member>& members);
  /// Every message that arrives: what members promised each other.
  void look_at(const raft::Message& message);
  /// The process ended: what it had seen and not synced is no promise.
  void restarted(raft::MemberId id) { seen_.erase(id); }

  [[nodiscard]] std::size_t elections() const { return leader_of_.size(); }
  /// Of an entry that was seen committed.
  [[nodiscard]] std::optional<raft::Term> term_of(raft::Index index) const {
    const auto found = committed_.find(index);
    return found == committed_.end() ? std::nullopt : std::optional(found->second.term);
  }
  [[nodiscard]] raft::Term newest_leader_term() const {
    return leader_of_.empty() ? 0 : leader_of_.rbegin()->first;
  }

 private:
  struct Seen {
    raft::Term term = 0;
    raft::Index committed = 0;
  };
  struct Committed {
    raft::Term term = 0;     // of the entry
    raft::Term seen_in = 0;  // the member's term when it was first seen committed
  };
  void look_at(const Member& member);
  void check_committed(const Member& member, Seen& seen);
  void check_complete(const Member& leader);
  void check_matching(const raft::RaftLog& left, const raft::RaftLog& right);

  std::function<void(const std::string&)> violate_;
  std::map<raft::Term, raft::MemberId> leader_of_;
  std::map<std::pair<raft::MemberId, raft::Term>, raft::MemberId> voted_;  // whom a member gave its vote
  std::map<raft::Index, Committed> committed_;
  std::map<raft::MemberId, Seen> seen_;
};

}  // namespace skep::sim
