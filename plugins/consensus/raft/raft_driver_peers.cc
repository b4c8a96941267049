// The raft driver among other members: messages, and the state it fetches when it lags behind. See
// raft_driver.h.

#include "plugins/consensus/raft/raft_driver.h"
#include "skep/log.h"

namespace skep::raft {
namespace {

namespace v1 = consensus::v1;
namespace methods = consensus::v1::methods;

constexpr std::chrono::milliseconds kFetchPause{500};

}  // namespace

void RaftDriver::send_messages(const std::vector<Message>& messages) {
  for (const Message& message : messages) {
    if (message.to == member_) {
      continue;  // advance() takes those.
    }
    v1::SendRequest request;
    request.set_to(message.to);
    request.set_message(encode_message(message, cluster_));
    rpc::call<methods::Send>(*core_, "core", request, {},
                             [this, to = message.to, alive = std::weak_ptr<char>(alive_)](
                                 const Result<v1::SendResponse>& reply) {
                               if (!reply && !alive.expired() && raft_ != nullptr && !stalled_) {
                                 raft_->report_unreachable(to);
                               }
                             });
  }
}

void RaftDriver::deliver(const v1::DeliverRequest& request) {
  if (!ready_for_calls()) {
    return;
  }
  auto message = decode_message(request.message(), cluster_);
  if (!message || message->from != request.from() || message->to != member_) {
    SKEP_DEBUG("raft: a message was refused", {"from", request.from()},
               {"error", message ? "it names other members" : message.error().message});
    return;
  }
  guarded([&] {
    if (auto stepped = raft_->step(*std::move(message)); !stepped) {
      SKEP_DEBUG("raft: a message was refused", {"error", stepped.error().message});
    }
    schedule_pump();
  });
}

void RaftDriver::peer_gone(const v1::PeerGoneRequest& request) {
  if (!ready_for_calls()) {
    return;
  }
  guarded([&] {
    if (request.id() == raft_->leader() && !request.messages_lost()) {
      raft_->report_leader_gone();
    } else {
      raft_->report_unreachable(request.id());
    }
    schedule_pump();
  });
}

void RaftDriver::fetch_state() {
  if (failure_ || stalled_ || fetching_ || fetch_timer_ != 0 || !raft_->awaits_state()) {
    return;
  }
  const SnapshotMark& mark = wal_->mark();
  v1::FetchSnapshotRequest request;
  request.set_index(mark.index);
  request.set_term(mark.term);
  request.set_source(raft_->leader());
  for (const Member& member : mark.membership.members) {
    v1::Member& out = *request.add_members();
    out.set_id(member.id);
    out.set_node_id(member.node_id);
    out.set_address(member.address);
    out.set_learner(member.learner);
  }
  fetching_ = true;
  SKEP_INFO("raft: the state is fetched from another manager", {"index", mark.index},
            {"source", raft_->leader()});
  // No deadline: a large state over a slow link takes as long as it takes.
  rpc::call<methods::FetchSnapshot>(
      *core_, "core", request, {.deadline = std::chrono::milliseconds{0}},
      [this, alive = std::weak_ptr<char>(alive_)](Result<v1::FetchSnapshotResponse> reply) {
        if (!alive.expired()) {
          fetching_ = false;
          guarded([&] { on_fetched(std::move(reply)); });
        }
      });
}

void RaftDriver::on_fetched(Result<v1::FetchSnapshotResponse> reply) {
  if (failure_ || raft_ == nullptr || !raft_->awaits_state()) {
    return;  // closed meanwhile
  }
  // Another mark may have come meanwhile, perhaps not written yet.
  if (reply && reply->applied_index() >= raft_->log().mark().index && !stalled_) {
    env_->loop.cancel_timer(std::exchange(delivery_timer_, 0));
    delivery_.restart(reply->applied_index());
    raft_->state_installed();
    return schedule_pump();
  }
  SKEP_WARN("raft: the state was not fetched, asked again",
            {"error", reply ? "it is older than the log" : reply.error().message});
  fetch_timer_ = env_->loop.run_after(kFetchPause, [this] {
    fetch_timer_ = 0;
    guarded([this] { fetch_state(); });
  });
}

}  // namespace skep::raft
