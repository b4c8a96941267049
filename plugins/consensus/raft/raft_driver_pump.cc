// The rounds of the raft driver: take what the state machine wants done, do it, tell it. See
// raft_driver.h.

#include <algorithm>

#include "plugins/consensus/raft/raft_driver.h"
#include "skep/log.h"
#include "skep/mutant.h"

namespace skep::raft {
namespace {

namespace v1 = consensus::v1;
namespace methods = consensus::v1::methods;

constexpr std::size_t kBatchBytesMax = 1ULL << 20;
constexpr Index kBatchEntriesMax = 1'024;
constexpr std::chrono::milliseconds kDeliveryDeadline{30'000};
constexpr std::chrono::milliseconds kDeliveryPauseMin{20};
constexpr std::chrono::milliseconds kDeliveryPauseMax{1'000};

}  // namespace

void RaftDriver::schedule_pump() {
  if (pump_scheduled_ || failure_) {
    return;
  }
  pump_scheduled_ = true;
  // Behind everything that is queued already: that becomes one batch with one sync.
  env_->loop.post([this, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired()) {
      pump_scheduled_ = false;
      pump();
    }
  });
}

void RaftDriver::pump() {
  if (failure_ || raft_ == nullptr) {
    return;
  }
  guarded([this] { run_rounds(); });
  if (failure_) {
    return;
  }
  arm_tick();
  if (stalled_ || raft_->has_ready()) {
    return;
  }
  // Nothing waits: the right moment to note on disk what is synced, and what is no longer needed.
  guarded([this] { compact_log(); });
  if (failure_) {
    return;
  }
  if (auto settled = wal_->settle(); !settled && wal_->poison()) {
    give_up(settled.error());
  }
}

void RaftDriver::run_rounds() {
  while (!stalled_ && !failure_ && raft_->has_ready()) {
    Ready ready = raft_->ready();
    // A leader's appends travel while our own disk works.
    send_messages(ready.messages);
    if (SKEP_MUTANT(kRepliesBeforeSync)) {
      send_messages(ready.messages_after_sync);
    }
    if (auto persisted = persist(ready); !persisted) {
      if (wal_->poison()) {
        return give_up(persisted.error());
      }
      return stall(std::move(ready), persisted.error());
    }
    finish(ready);
  }
  consider_hand_over();
  fetch_state();
  deliver_committed();
}

Status RaftDriver::persist(const Ready& ready) {
  const TimePoint began = env_->clock.now();
  if (ready.snapshot) {
    SnapshotMark mark = *ready.snapshot;
    mark.fetched = true;
    SKEP_TRY(wal_->set_mark(mark));
  }
  if (ready.hard_state) {
    newest_state_ = *ready.hard_state;
    newest_state_.vote = SKEP_MUTANT(kVoteNotWritten) ? kNobody : newest_state_.vote;
  }
  if (ready.must_sync) {
    // A commit index alone waits for the next batch: it is only a hint.
    const bool news = newest_state_ != wal_->hard_state();
    SKEP_TRY(wal_->append(ready.entries, news ? std::optional(newest_state_) : std::nullopt));
  }
  if (ready.must_sync) {
    SKEP_TRY(wal_->sync());
    const TimePoint now = env_->clock.now();
    hand_over_->on_sync(now, now - began);
  }
  return ok();
}

void RaftDriver::finish(const Ready& ready) {
  send_messages(ready.messages_after_sync);
  raft_->advance(ready);
  if (std::exchange(stepping_aside_, false)) {
    raft_->step_aside();
  }
  if (!ready.entries.empty()) {
    answer_accepted(ready);
  }
  for (const Entry& entry : ready.committed) {
    if (entry.kind == EntryKind::kConfig) {
      announce_members(entry.index);
    }
  }
  if (ready.snapshot) {
    announce_members(ready.snapshot->index);
  }
  answer_reads(ready);
  if (ready.soft_state) {
    announce_leadership();
    if (raft_->leader() == kNobody) {
      fail_reads({Code::kUnavailable, "there is no leader now, try again", "NOT_LEADER"});
    }
  }
}

void RaftDriver::answer_accepted(const Ready& ready) {
  const Index synced = ready.entries.back().index;
  while (!proposals_.empty()) {
    const auto first = proposals_.begin();
    const bool gone = first->first > raft_->log().last_index();
    if (first->first > synced && !gone) {
      break;
    }
    const Index index = first->first;
    const Proposal proposal = std::move(first->second);
    proposals_.erase(first);
    if (!gone && raft_->log().term(index) == proposal.term) {
      proposal.done(Raft::Accepted{index, proposal.term});
    } else {
      proposal.done(Error{Code::kUnavailable, "another leader took over before this was stored, try again",
                          "PROPOSAL_DROPPED"});
    }
  }
  if (proposals_.empty()) {
    unsynced_bytes_ = 0;
  }
}

void RaftDriver::answer_reads(const Ready& ready) {
  for (const ReadState& read : ready.reads) {
    const auto found = reads_.find(read.context);
    if (found == reads_.end()) {
      continue;
    }
    const auto reply = std::move(found->second);
    reads_.erase(found);
    v1::ReadBarrierResponse response;
    response.set_index(read.index);
    reply(std::move(response));
  }
}

void RaftDriver::announce_leadership() {
  v1::LeadershipRequest request;
  request.set_leader(raft_->role() == Role::kLeader && !stepping_aside_);
  request.set_leader_id(stepping_aside_ ? kNobody : raft_->leader());
  request.set_term(raft_->term());
  leadership_->announce(std::move(request));
}

void RaftDriver::announce_members(Index index) {
  v1::MembersRequest request;
  request.set_index(index);
  for (const Member& member : raft_->members().members) {
    v1::Member& out = *request.add_members();
    out.set_id(member.id);
    out.set_node_id(member.node_id);
    out.set_address(member.address);
    out.set_learner(member.learner);
  }
  members_->announce(std::move(request));
}

void RaftDriver::arm_tick() {
  if (tick_timer_ != 0 || recovering_ || !raft_->needs_ticks()) {
    return;
  }
  tick_timer_ = env_->loop.run_after(config_.tick, [this] {
    tick_timer_ = 0;
    if (!stalled_) {
      guarded([this] { raft_->tick(); });
    }
    pump();
  });
}

void RaftDriver::deliver_committed() {
  if (raft_->awaits_state()) {
    return;
  }
  const Index committed = raft_->log().applied();
  while (delivery_.may_send(committed)) {
    const Index to = std::min(committed, delivery_.next() + kBatchEntriesMax - 1);
    auto entries = wal_->entries(delivery_.next(), to, kBatchBytesMax);
    if (!entries) {
      return give_up(entries.error());
    }
    v1::CommittedRequest request;
    for (Entry& entry : *entries) {
      v1::Entry& out = *request.add_entries();
      out.set_index(entry.index);
      out.set_term(entry.term);
      if (entry.kind == EntryKind::kNormal) {
        out.set_data(std::move(entry.data));
      }
    }
    const auto ticket = delivery_.sent(entries->back().index);
    rpc::call<methods::Committed>(
        *core_, "core", request, {.deadline = kDeliveryDeadline},
        [this, ticket, alive = std::weak_ptr<char>(alive_)](Result<v1::CommittedResponse> reply) {
          if (!alive.expired()) {
            guarded([&] { on_delivered(ticket, std::move(reply)); });
          }
        });
  }
}

void RaftDriver::on_delivered(DeliveryWindow::Ticket ticket, Result<v1::CommittedResponse> reply) {
  if (failure_ || raft_ == nullptr) {
    return;
  }
  const auto then = reply ? delivery_.on_answer(ticket, reply->applied_index())
                          : delivery_.on_failure(ticket);
  if (then == DeliveryWindow::Then::kGoOn) {
    want_snapshot();
    return deliver_committed();
  }
  const auto pause = std::min(kDeliveryPauseMin * (1U << std::min(delivery_.failures(), 6U)),
                              kDeliveryPauseMax);
  SKEP_DEBUG("raft: the core did not take a batch", {"acknowledged", delivery_.acknowledged()},
             {"error", reply ? "part of it only" : reply.error().message});
  delivery_timer_ = env_->loop.run_after(pause, [this] {
    delivery_timer_ = 0;
    delivery_.retry();
    guarded([this] { deliver_committed(); });
  });
}

void RaftDriver::want_snapshot() {
  if (delivery_.acknowledged() < snapshot_wanted_at_ + config_.snapshot_entries) {
    return;
  }
  snapshot_wanted_at_ = delivery_.acknowledged();
  v1::SnapshotWantedRequest request;
  request.set_above_index(wal_->mark().index);
  // A hint: it is given again after as many entries, whatever the answer.
  rpc::call<methods::SnapshotWanted>(*core_, "core", request, {}, [](const auto&) {});
}

}  // namespace skep::raft
