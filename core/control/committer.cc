#include "core/control/committer.h"

#include <algorithm>

namespace skep::control {

Committer::Committer(store::Proposer& proposer, OnDone on_done)
    : proposer_(proposer),
      on_done_(std::move(on_done)),
      self_(std::make_shared<Committer*>(this)) {}

Committer::~Committer() = default;

void Committer::submit(std::vector<store::Transaction> units) {
  SKEP_ASSERT(idle(), "a submission is answered before the next one is decided");
  outcome_ = Outcome::kCommitted;
  for (store::Transaction& unit : units) {
    if (!unit.empty()) {
      waiting_.push_back(std::move(unit));
    }
  }
  pump();
}

void Committer::stop() {
  stopped_ = true;
  waiting_.clear();
}

store::Transaction Committer::pack() {
  store::Transaction packed = std::move(waiting_.front());
  waiting_.pop_front();
  while (!waiting_.empty() && packed.size() + waiting_.front().size() <= changes_max_ &&
         packed.has_room_for(waiting_.front())) {
    packed.merge(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return packed;
}

void Committer::pump() {
  while (!stopped_ && !waiting_.empty() && in_flight_ < kInFlightMax) {
    ++in_flight_;
    proposer_.propose(pack(), [weak = std::weak_ptr(self_)](const Result<std::uint64_t>& result) {
      if (const auto self = weak.lock()) {
        (*self)->answered(result);
      }
    });
  }
}

void Committer::answered(const Result<std::uint64_t>& result) {
  --in_flight_;
  if (result) {
    changes_max_ = std::min(changes_max_ * 2, store::kChangesMax);
  } else if (result.error().code == Code::kConflict) {
    changes_max_ = std::max<std::size_t>(changes_max_ / 8, 1);
    outcome_ = std::max(outcome_, Outcome::kConflict);
  } else {
    outcome_ = Outcome::kRetryLater;
    waiting_.clear();  // Stale by the time consensus is back: decide again.
  }
  if (stopped_) {
    return;
  }
  pump();
  if (idle()) {
    on_done_(outcome_);
  }
}

}  // namespace skep::control
