// Linearizable reads of the Raft state machine (read index). See raft.h.

#include "plugins/consensus/raft/raft.h"
#include "skep/mutant.h"

namespace skep::raft {

bool Raft::committed_in_term() const { return log_.term(log_.committed()) == term_; }

Status Raft::read_index(std::string context) {
  Message request{.type = MessageType::kReadIndex, .from = options_.id, .context = std::move(context)};
  if (role_ == Role::kLeader) {
    serve_read(request);
    return ok();
  }
  if (leader_ == kNobody) {
    return Error{Code::kUnavailable, "there is no leader now, try again", "NOT_LEADER"};
  }
  request.to = leader_;
  request.term = term_;
  send(std::move(request));
  return ok();
}

void Raft::serve_read(const Message& message) {
  if (barriers_.size() + early_reads_.size() >= kWaitingReadsMax) {
    return;  // The asker's deadline answers.
  }
  // Before the first commit of the term the commit index may lag behind the old leader's.
  if (!committed_in_term() && !SKEP_MUTANT(kReadBeforeFirstCommit)) {
    early_reads_.push_back(message);
    return;
  }
  if (is_only_voter() || SKEP_MUTANT(kReadWithoutQuorum)) {
    respond_read(message, log_.committed());
    return;
  }
  // One round at a time: who comes while it is under way shares the next one (on_heartbeat_reply), and what is lost goes
  // again with the next tick.
  const bool under_way = barriers_.size() > 0;
  barriers_.add(message, log_.committed(), options_.id);
  if (!under_way) {
    broadcast_heartbeat(message.context);
  }
}

void Raft::respond_read(const Message& request, Index index) {
  if (request.from == options_.id || request.from == kNobody) {
    reads_.push_back({index, request.context});
    return;
  }
  send({.type = MessageType::kReadIndexReply,
        .to = request.from,
        .index = index,
        .context = request.context});
}

void Raft::release_pending_reads() {
  if (early_reads_.empty() || !committed_in_term()) {
    return;
  }
  std::vector<Message> waiting;
  waiting.swap(early_reads_);
  for (const Message& message : waiting) {
    serve_read(message);
  }
}

}  // namespace skep::raft
