#include "outcome.h"

namespace skep::sim {

namespace {
/// Below these a seed does not count.
struct Least {
  std::size_t nodes;
  std::size_t tasks;
  double minutes;
  std::size_t faults;
  std::size_t operations;
};
constexpr Least kWide{20, 200, 10, 20, 0};
constexpr Least kNarrow{2, 10, 1, 10, 20};
}  // namespace

void Outcome::note(const raft::Message& message) {
  using raft::MessageType;
  switch (message.type) {
    case MessageType::kPreVoteReply:
      reached["pre-vote refused"] += message.reject ? 1 : 0;
      break;
    case MessageType::kVoteReply:
      reached["vote refused"] += message.reject ? 1 : 0;
      break;
    case MessageType::kAppendReply:
      reached["append refused"] += message.reject ? 1 : 0;
      break;
    case MessageType::kSnapshot:
      ++reached["snapshot offered"];
      break;
    case MessageType::kTimeoutNow:
      ++reached["election at once"];
      break;
    case MessageType::kReadIndex:
      ++reached["read at a follower"];
      break;
    case MessageType::kPreVote:
    case MessageType::kVote:
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kHeartbeatReply:
    case MessageType::kReadIndexReply:
      break;
  }
}

std::size_t Outcome::faults_fired() const {
  std::size_t sum = 0;
  for (const auto& [name, count] : faults) {
    sum += count;
  }
  return sum;
}

std::string Outcome::why_it_does_not_count() const {
  const Least& least = wide ? kWide : kNarrow;
  const auto too_few = [](const char* what, std::size_t wanted) {
    return "fewer than " + std::to_string(wanted) + " " + what;
  };
  if (nodes < least.nodes) {
    return too_few("nodes", least.nodes);
  }
  if (tasks < least.tasks) {
    return too_few("tasks", least.tasks);
  }
  if (virtual_minutes < least.minutes) {
    return "less than " + std::to_string(static_cast<int>(least.minutes)) + " virtual minutes";
  }
  if (elections == 0) {
    return "no election";
  }
  if (operations < least.operations) {
    return too_few("operations of clients", least.operations);
  }
  return faults_fired() < least.faults ? too_few("faults fired", least.faults) : std::string();
}

}  // namespace skep::sim
