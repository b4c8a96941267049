#include "plugins/consensus/raft/progress.h"

#include <algorithm>

#include "skep/mutant.h"

namespace skep::raft {

void Inflights::add(Index last_index, std::size_t bytes) {
  sent_.push_back({last_index, bytes});
  bytes_ += bytes;
}

void Inflights::free_up_to(Index index) {
  while (!sent_.empty() && sent_.front().last_index <= index) {
    bytes_ -= sent_.front().bytes;
    sent_.pop_front();
  }
}

void Inflights::clear() {
  sent_.clear();
  bytes_ = 0;
}

void Progress::become_probe() {
  // After a snapshot the follower has at least that much, if the transfer succeeded.
  next = state == ProgressState::kSnapshot ? std::max(match + 1, pending_snapshot + 1) : match + 1;
  state = ProgressState::kProbe;
  paused = false;
  pending_snapshot = 0;
  inflights.clear();
  sent_commit = std::min(sent_commit, next - 1);
}

void Progress::become_replicate() {
  state = ProgressState::kReplicate;
  paused = false;
  pending_snapshot = 0;
  inflights.clear();
  next = match + 1;
}

void Progress::become_snapshot(Index snapshot_index) {
  state = ProgressState::kSnapshot;
  paused = false;
  inflights.clear();
  pending_snapshot = snapshot_index;
  snapshot_age = 0;
  next = snapshot_index + 1;
  sent_commit = snapshot_index;
}

bool Progress::maybe_update(Index index) {
  if (index <= match) {
    return false;
  }
  match = index;
  next = std::max(next, index + 1);
  paused = false;
  return true;
}

bool Progress::maybe_decrease(Index rejected, Index hint) {
  if (state == ProgressState::kReplicate) {
    if (rejected <= match) {
      return false;  // Answered before a later success.
    }
    next = match + 1;
    sent_commit = std::min(sent_commit, next - 1);
    return true;
  }
  if (next - 1 != rejected) {
    return false;  // Not the answer to the last probe.
  }
  next = std::max(std::min(rejected, hint + 1), match + 1);
  sent_commit = std::min(sent_commit, next - 1);
  paused = false;
  return true;
}

void Progress::sent_entries(std::size_t count, std::size_t bytes, const FlowLimits& limits) {
  switch (state) {
    case ProgressState::kReplicate:
      if (count > 0) {
        next += count;
        match = SKEP_MUTANT(kSentCountsAsStored) ? next - 1 : match;
        inflights.add(next - 1, bytes);
      }
      paused = inflights.full(limits);
      return;
    case ProgressState::kProbe:
      if (count > 0) {
        paused = true;
      }
      return;
    case ProgressState::kSnapshot:
      break;
  }
  throw BrokenInvariant("nothing is sent to a follower that waits for a snapshot");
}

}  // namespace skep::raft
