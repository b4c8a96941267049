// The raft driver when its disk is full or slow: it waits for room, and a leader hands over. See raft_driver.h and
// hand_over.h.

#include "plugins/consensus/raft/raft_driver.h"
#include "skep/log.h"

namespace skep::raft {
namespace {

constexpr std::chrono::milliseconds kLookPause{200};

}  // namespace

void RaftDriver::stall(Ready ready, const Error& error) {
  SKEP_WARN("raft waits for disk space", {"error", error.message});
  hand_over_->on_full(env_->clock.now(), error.message, 0);
  ready.messages.clear();  // Sent already.
  stalled_ = std::move(ready);
  retry_stalled();
}

void RaftDriver::retry_stalled() {
  stall_timer_ = env_->loop.run_after(kLookPause, [this] {
    stall_timer_ = 0;
    guarded([this] {
      const Status persisted = persist(*stalled_);
      if (!persisted && wal_->poison()) {
        return give_up(persisted.error());
      }
      if (!persisted) {
        hand_over_->on_full(env_->clock.now(), persisted.error().message, 0);
        consider_hand_over();
        return retry_stalled();
      }
      SKEP_INFO("raft goes on: there is disk space again", {"last", wal_->last_index()});
      hand_over_->on_room();
      const Ready ready = std::move(*stalled_);
      stalled_.reset();
      finish(ready);
    });
    schedule_pump();
  });
}

/// A proposal was refused for want of room. Everything else goes on, and nobody would hear of room without looking.
void RaftDriver::out_of_room(const Error& why, std::size_t bytes) {
  if (hand_over_->full() == nullptr) {
    SKEP_WARN("raft refuses changes until there is disk space", {"error", why.message});
  }
  hand_over_->on_full(env_->clock.now(), why.message, bytes);
  if (room_timer_ == 0) {
    look_for_room();
  }
}

void RaftDriver::look_for_room() {
  room_timer_ = env_->loop.run_after(kLookPause, [this] {
    room_timer_ = 0;
    if (hand_over_->full() == nullptr || stalled_) {
      return;  // A log that stands still looks by itself.
    }
    guarded([this] {
      const Status room = wal_->reserve(hand_over_->bytes_wanted());
      if (!room && wal_->poison()) {
        return give_up(room.error());
      }
      if (!room) {
        hand_over_->on_full(env_->clock.now(), room.error().message, hand_over_->bytes_wanted());
        consider_hand_over();
        return look_for_room();
      }
      SKEP_INFO("raft takes changes again: there is disk space", {"last", wal_->last_index()});
      hand_over_->on_room();
    });
  });
}

void RaftDriver::consider_hand_over() {
  const TimePoint now = env_->clock.now();
  if (!stalled_) {
    raft_->set_reluctant(hand_over_->reluctant(now));
  }
  if (failure_ || recovering_ || raft_->role() != Role::kLeader) {
    return;
  }
  const HandOver::Reason reason = hand_over_->wanted(now, raft_->term());
  const MemberId heir = reason == HandOver::Reason::kNone ? kNobody : raft_->best_heir();
  if (heir == kNobody) {
    return;  // No reason, or nobody could do better.
  }
  hand_over_->on_handed_over(now, raft_->term());
  if (reason == HandOver::Reason::kFull) {
    SKEP_WARN("this manager hands leadership over: its disk is full", {"to", heir}, {"error", *hand_over_->full()});
  } else {
    SKEP_WARN("this manager hands leadership over: its disk is slow", {"to", heir},
              {"mean_sync_ms", std::chrono::duration_cast<std::chrono::milliseconds>(hand_over_->mean_sync(now)).count()});
  }
  if (!stalled_) {
    if (auto begun = raft_->transfer_leadership(heir); !begun) {
      SKEP_DEBUG("raft: leadership stays here", {"error", begun.error().message});
    }
    return schedule_pump();
  }
  // The state machine stands still until its round is stored: the request goes beside it, and the role ends here, so
  // that nodes and clients look for the next leader now.
  stepping_aside_ = true;
  send_messages({raft_->ask_to_lead(heir)});
  fail_reads({Code::kUnavailable, "leadership is being handed over, try again", "NOT_LEADER"});
  announce_leadership();
}

}  // namespace skep::raft
