#pragma once

// How loops write: a proposal is ordered by consensus, applied on every manager, and only then
// successful. Lives on the control loop's thread.

#include <cstdint>
#include <functional>

#include "core/store/transaction.h"
#include "skep/result.h"

namespace skep::store {

/// The index at which the change set was committed and applied here: the new version of everything
/// it put. Called exactly once, on the loop, never from within propose(), and after the watchers
/// of that commit. Errors:
///   kConflict            an object is no longer at the version that was read; nothing changed.
///   kUnavailable         surely not in the log (no leader, lost leadership before it was
///   accepted). kTimeout             unknown: it may still be committed later. Read again before
///   repeating. kResourceExhausted   too many proposals in flight, or the log's disk is full.
///   kInvalidArgument     empty or above the limits of a change set.
using OnCommitted = std::function<void(Result<std::uint64_t>)>;

class Proposer {
 public:
  virtual ~Proposer() = default;
  /// Several may be in flight; they are ordered as they were proposed.
  virtual void propose(Transaction transaction, OnCommitted done) = 0;
};

}  // namespace skep::store
