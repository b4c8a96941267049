#include "plugins/consensus/raft/message.h"

namespace skep::raft {

std::string_view message_name(MessageType type) {
  switch (type) {
    case MessageType::kPreVote: return "pre-vote";
    case MessageType::kPreVoteReply: return "pre-vote-reply";
    case MessageType::kVote: return "vote";
    case MessageType::kVoteReply: return "vote-reply";
    case MessageType::kAppend: return "append";
    case MessageType::kAppendReply: return "append-reply";
    case MessageType::kHeartbeat: return "heartbeat";
    case MessageType::kHeartbeatReply: return "heartbeat-reply";
    case MessageType::kSnapshot: return "snapshot";
    case MessageType::kReadIndex: return "read-index";
    case MessageType::kReadIndexReply: return "read-index-reply";
    case MessageType::kTimeoutNow: return "timeout-now";
  }
  return "unknown";
}

}  // namespace skep::raft
