#pragma once

// What members say to each other. One struct for all, as in etcd: unused fields keep their default.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/consensus/raft/types.h"
#include "skep/result.h"

namespace skep::raft {

enum class MessageType : std::uint8_t {
  kPreVote = 1,
  kPreVoteReply = 2,
  kVote = 3,
  kVoteReply = 4,
  kAppend = 5,
  kAppendReply = 6,
  kHeartbeat = 7,
  kHeartbeatReply = 8,
  kSnapshot = 9,
  kReadIndex = 10,
  kReadIndexReply = 11,
  kTimeoutNow = 12,
};
std::string_view message_name(MessageType type);

struct Message {
  MessageType type = MessageType::kHeartbeat;
  MemberId to = kNobody;
  MemberId from = kNobody;
  Term term = 0;      ///< of the sender; of the next election in a pre-vote
  Term log_term = 0;  ///< append: of the entry before; vote: of the last entry; reject: of the hint
  Index index = 0;    ///< append: the entry before; reply: the last one matched or rejected
  Index commit = 0;
  std::vector<Entry> entries = {};
  bool reject = false;
  Index reject_hint = 0;
  bool forced = false;       ///< a vote asked for by a leader that hands over: leases do not matter
  bool awaits_state = false; ///< a reply of one that must fetch the state first: it could not lead
  std::string context = {};  ///< of a read barrier
  std::optional<SnapshotMark> snapshot = {};
};

/// The bytes that travel: with the cluster's id, so that a stranger's message is refused.
std::string encode_message(const Message& message, std::string_view cluster);
/// kInvalidArgument: malformed. kPermissionDenied: of another cluster.
Result<Message> decode_message(std::string_view bytes, std::string_view cluster);

}  // namespace skep::raft
