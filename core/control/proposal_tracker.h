#pragma once

// Which of our proposals are still open, and what each log entry that is applied means for them.
// Pure: no loop, no clock. Part of the consensus client.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/store/proposer.h"
#include "core/store/store.h"
#include "skep/env.h"

namespace skep::control {

class ProposalTracker {
 public:
  static constexpr std::size_t kInFlightMax = 256;
  static constexpr std::size_t kInFlightBytesMax = 64 << 20;

  /// What to call, and with what; the caller calls it once nothing of the tracker is in use.
  struct Answer {
    store::OnCommitted done;
    Result<std::uint64_t> result;
  };

  /// Takes over `done`; kResourceExhausted, and `done` is left alone, when too much is in flight.
  Status add(const std::string& id, std::size_t bytes, TimePoint deadline,
             store::OnCommitted& done);
  /// Everything added from now on belongs to a new incarnation of the log.
  void next_incarnation() { ++incarnation_; }
  /// The log of this incarnation is applied as far as it went when it opened: what was proposed to
  /// an earlier one and is still open never reached it.
  std::vector<Answer> end_earlier_incarnations();
  /// The log took it at `index` (not committed yet). Unknown ids are ignored.
  void accepted(const std::string& id, std::uint64_t index);
  /// It is surely not in the log (or the request itself was refused).
  std::vector<Answer> dropped(const std::string& id, Error error);
  /// The entry at `index` was applied: ends the proposal it held, and those that had been accepted
  /// at this index but lost their place to another leader's entry.
  std::vector<Answer> applied(std::uint64_t index, const store::ApplyResult& result);
  /// The state up to `index` came from elsewhere: what became of proposals in it is not known.
  std::vector<Answer> skipped_to(std::uint64_t index);
  /// Proposals nobody heard of until their deadline: kTimeout, unknown.
  std::vector<Answer> expire(TimePoint now);
  /// Everything ends with `error`.
  std::vector<Answer> fail_all(const Error& error);

  [[nodiscard]] bool empty() const { return open_.empty(); }
  [[nodiscard]] TimePoint next_deadline() const;

 private:
  struct Open {
    store::OnCommitted done;
    std::size_t bytes = 0;
    std::uint64_t index = 0;  // 0: not accepted yet
    TimePoint deadline;
    std::uint64_t incarnation = 0;
  };
  Answer close(std::map<std::string, Open>::iterator it, Result<std::uint64_t> result);

  std::map<std::string, Open> open_;
  std::multimap<std::uint64_t, std::string> by_index_;
  std::multimap<TimePoint, std::string> by_deadline_;
  std::size_t bytes_ = 0;
  std::uint64_t incarnation_ = 0;
};

}  // namespace skep::control
