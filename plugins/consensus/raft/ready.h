#pragma once

// What the Raft state machine is given in the beginning and what it wants done in a round. Plain values.

#include <functional>
#include <optional>
#include <string_view>

#include "plugins/consensus/raft/message.h"
#include "plugins/consensus/raft/progress.h"

namespace skep::raft {

enum class Role : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };
std::string_view role_name(Role role);

struct RaftOptions {
  MemberId id = kNobody;
  unsigned election_ticks = 10;  ///< the timeout is drawn from [election_ticks, 2 * election_ticks)
  unsigned heartbeat_ticks = 1;
  bool pre_vote = true;
  bool check_quorum = true;
  FlowLimits flow = {};
  std::size_t uncommitted_bytes_max = 64ULL << 20;
  std::size_t ready_bytes_max = 4ULL << 20;  ///< of entries, to write and committed, per Ready
  std::function<std::uint64_t(std::uint64_t bound)> random;
};

struct SoftState {
  MemberId leader = kNobody;
  Role role = Role::kFollower;
  bool operator==(const SoftState&) const = default;
};

/// A read that came with `context` may be served once `index` is applied.
struct ReadState {
  Index index = 0;
  std::string context;
};

struct Ready {
  std::optional<SoftState> soft_state;  ///< when it changed
  std::optional<HardState> hard_state;  ///< when it changed
  std::vector<Entry> entries;           ///< to write
  std::optional<SnapshotMark> snapshot; ///< to write: the log is replaced by it
  std::vector<Message> messages;            ///< may leave at once
  std::vector<Message> messages_after_sync; ///< promise what is written here
  std::vector<Entry> committed;
  std::vector<ReadState> reads;
  bool must_sync = false;
};

}  // namespace skep::raft
