#pragma once

// The words of the Raft core: entries, terms, members and messages. Plain values; nothing here
// touches disk, clock or network.

#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace skep::raft {

using Index = std::uint64_t;  ///< place in the log; the first entry has 1, 0 means none
using Term = std::uint64_t;
using MemberId = std::uint64_t;  ///< random, never reused, never 0
inline constexpr MemberId kNobody = 0;

/// Largest `data` of one entry, 1.5 MiB as SwarmKit's transactions.
inline constexpr std::size_t kEntryBytesMax = 1536 * 1024;

enum class EntryKind : std::uint8_t {
  kNormal = 1,  ///< the caller's bytes
  kNoop = 2,    ///< a leader's first entry of its term
  kConfig = 3,  ///< a serialised ConfigChange
};

struct Entry {
  Index index = 0;
  Term term = 0;
  EntryKind kind = EntryKind::kNormal;
  std::string data = {};

  bool operator==(const Entry&) const = default;
  /// What limits count: the data and about what a record adds to it.
  [[nodiscard]] std::size_t bytes() const { return data.size() + 48; }
};

/// What must be on stable storage before any promise that depends on it is made.
struct HardState {
  Term term = 0;
  MemberId vote = kNobody;
  Index commit = 0;  ///< a hint: may lag behind

  bool operator==(const HardState&) const = default;
};

/// A member as the rest of the system knows it; the core only looks at id and role.
struct Member {
  MemberId id = kNobody;
  std::string node_id;
  std::string address;
  bool learner = false;

  bool operator==(const Member&) const = default;
};

/// The members at some index. While `outgoing` is not empty the cluster is in a joint
/// configuration: decisions need a majority of the voters in `members` and one of `outgoing`.
struct Membership {
  std::vector<Member> members;  ///< ordered by id
  std::set<MemberId> outgoing;
  std::vector<Member> learners_next;  ///< voters of `outgoing` that are learners once it is left
  bool auto_leave = false;            ///< the leader proposes to leave the joint state by itself

  bool operator==(const Membership&) const = default;
  [[nodiscard]] const Member* find(MemberId id) const {
    for (const Member& member : members) {
      if (member.id == id) {
        return &member;
      }
    }
    return nullptr;
  }
  [[nodiscard]] std::set<MemberId> voters() const {
    std::set<MemberId> ids;
    for (const Member& member : members) {
      if (!member.learner) {
        ids.insert(member.id);
      }
    }
    return ids;
  }
  [[nodiscard]] bool is_voter(MemberId id) const {
    const Member* member = find(id);
    return (member != nullptr && !member->learner) || outgoing.contains(id);
  }
};

/// Everything up to `index` is replaced by a state the core holds elsewhere.
struct SnapshotMark {
  Index index = 0;
  Term term = 0;
  Membership membership;  ///< as of `index`
  /// The state is fetched from another member, and may be ahead of the log for a while.
  bool fetched = false;

  bool operator==(const SnapshotMark&) const = default;
};

/// A claim that must hold by construction did not. The driver catches it, gives up its consensus
/// role and says so; the agent and its tasks stay.
class BrokenInvariant : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};
inline void ensure(bool claim, const char* why) {
  if (!claim) [[unlikely]] {
    throw BrokenInvariant(why);
  }
}

}  // namespace skep::raft
