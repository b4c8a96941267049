#pragma once

// Carries the units of one decision to consensus: packs them into change sets, keeps a few in flight,
// and tells when all were answered. After a conflict the next change sets are packed smaller, so that
// a busy object cannot hold up two hundred others for ever. Control loop thread only.

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "core/control/control_loop.h"

namespace skep::control {

class Committer {
 public:
  static constexpr std::size_t kInFlightMax = 8;  ///< proposals

  /// What became of a whole submission. kConflict: look again at once. kRetryLater: consensus is not
  /// available or did not say; look again after a pause.
  enum class Outcome { kCommitted, kConflict, kRetryLater };
  using OnDone = std::function<void(Outcome)>;

  Committer(store::Proposer& proposer, OnDone on_done);
  ~Committer();
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  /// idle() must hold. An empty submission is allowed and answered by nothing.
  void submit(std::vector<store::Transaction> units);
  [[nodiscard]] bool idle() const { return waiting_.empty() && in_flight_ == 0; }
  /// Proposes nothing more and calls nobody back.
  void stop();

 private:
  void pump();
  void answered(const Result<std::uint64_t>& result);
  store::Transaction pack();

  store::Proposer& proposer_;
  OnDone on_done_;
  std::deque<store::Transaction> waiting_;
  std::size_t in_flight_ = 0;
  std::size_t changes_max_ = store::kChangesMax;  // per change set; shrinks after conflicts
  Outcome outcome_ = Outcome::kCommitted;
  bool stopped_ = false;
  std::shared_ptr<Committer*> self_;  // answers hold it weakly: they may outlive us
};

}  // namespace skep::control
