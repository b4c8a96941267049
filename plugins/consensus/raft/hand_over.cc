#include "plugins/consensus/raft/hand_over.h"

#include <algorithm>

#include "skep/mutant.h"

namespace skep::raft {
namespace {

constexpr std::size_t kSyncsMin = 8;
constexpr std::size_t kSyncsMax = 16;
constexpr Duration kSyncsCountFor = std::chrono::seconds{60};
constexpr Duration kReluctantFor = std::chrono::seconds{30};
constexpr Duration kNextAfter = std::chrono::seconds{60};

}  // namespace

void HandOver::on_sync(TimePoint now, Duration took) {
  syncs_.push_back({now, took});
  if (syncs_.size() > kSyncsMax) {
    syncs_.pop_front();
  }
  if (slow(now)) {
    bad_at_ = now;
  }
}

void HandOver::on_full(TimePoint now, std::string why, std::size_t bytes) {
  if (!full_) {
    full_ = Full{now, {}, 0};
  }
  full_->why = std::move(why);
  full_->bytes = bytes;
  bad_at_ = now;
}

void HandOver::on_room() { full_.reset(); }

Duration HandOver::mean_sync(TimePoint now) const {
  Duration sum{0};
  std::int64_t count = 0;
  for (const Sync& sync : syncs_) {
    if (now - sync.at < kSyncsCountFor) {
      sum += sync.took;
      ++count;
    }
  }
  return count == 0 ? Duration{0} : sum / count;
}

bool HandOver::slow(TimePoint now) const {
  const auto count = static_cast<std::size_t>(std::count_if(
      syncs_.begin(), syncs_.end(), [now](const Sync& sync) { return now - sync.at < kSyncsCountFor; }));
  return (count > 0 && syncs_.back().took >= 2 * timeout_) ||
         (count >= kSyncsMin && mean_sync(now) > timeout_ / 2);
}

HandOver::Reason HandOver::wanted(TimePoint now, Term term) const {
  const Duration pause = attempt_ && attempt_->term == term ? 2 * timeout_ : kNextAfter;
  if (SKEP_MUTANT(kNeverHandsOver) || (attempt_ && now - attempt_->at < pause)) {
    return Reason::kNone;
  }
  if (full_ && now - full_->since >= timeout_ / 2) {
    return Reason::kFull;
  }
  return slow(now) ? Reason::kSlow : Reason::kNone;
}

void HandOver::on_handed_over(TimePoint now, Term term) { attempt_ = Attempt{now, term}; }

bool HandOver::reluctant(TimePoint now) const { return bad_at_ && now - *bad_at_ < kReluctantFor; }

}  // namespace skep::raft
