#pragma once

// Which committed entries go to the core next: in order, a few batches in flight, cumulative
// acknowledgements, everything again from the last one after a failure. Pure; the driver performs.

#include "plugins/consensus/raft/types.h"

namespace skep::raft {

inline constexpr unsigned kDeliveriesInFlightMax = 4;

class DeliveryWindow {
 public:
  /// The core holds everything up to `applied`; batches sent before are forgotten.
  void restart(Index applied);
  /// Whether a batch beginning at next() may be sent now.
  [[nodiscard]] bool may_send(Index committed) const {
    return !waiting_ && in_flight_ < kDeliveriesInFlightMax && next_ <= committed;
  }
  [[nodiscard]] Index next() const { return next_; }
  [[nodiscard]] Index acknowledged() const { return acknowledged_; }

  struct Ticket {
    std::uint64_t round = 0;
    Index last = 0;
  };
  /// Entries next()..last were sent.
  Ticket sent(Index last);
  /// What to do after an answer.
  enum class Then : std::uint8_t {
    kGoOn,
    kRetryLater,  ///< call retry() after a pause
  };
  /// The core holds everything up to `applied` (never less than before).
  Then on_answer(const Ticket& ticket, Index applied);
  Then on_failure(const Ticket& ticket);
  void retry() { waiting_ = false; }
  /// Failures in a row, for the length of the pause.
  [[nodiscard]] unsigned failures() const { return failures_; }

 private:
  Then start_again();

  Index acknowledged_ = 0;
  Index next_ = 1;
  unsigned in_flight_ = 0;
  unsigned failures_ = 0;
  std::uint64_t round_ = 0;  ///< rises when everything is sent again: older answers only count as acks
  bool waiting_ = false;
};

}  // namespace skep::raft
