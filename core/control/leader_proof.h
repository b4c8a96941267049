#pragma once

// Whether this manager still leads, for decisions on who may be trusted: a leader that was cut off does not know yet
// that another one removed a node or took a role from it. Whoever asks is answered by a read barrier that began
// afterwards; those who ask meanwhile share the next one, so that a whole swarm that reconnects costs a few rounds of
// messages. One per Manager; loop thread only.

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "skep/result.h"

namespace skep::control {

class LeaderProof {
 public:
  using Then = std::function<void(Status)>;
  static constexpr std::size_t kWaitingMax = 10'000;

  /// `read_barrier` answers at most once, as ConsensusClient::read_barrier does.
  explicit LeaderProof(std::function<void(Then)> read_barrier) : read_barrier_(std::move(read_barrier)) {}

  /// Success: what was acknowledged before this call is in the store, and nobody else led by then. `then` may drop
  /// the manager. kUnavailable NOT_LEADER: another one is to be asked. kResourceExhausted: more than kWaitingMax wait.
  void ask(Then then);
  /// Leadership is over: all who wait are told so.
  void lost();

 private:
  void begin();

  const std::function<void(Then)> read_barrier_;
  std::vector<Then> asked_;  // of the barrier under way
  std::vector<Then> next_;
  std::shared_ptr<char> turn_;  // the barrier under way; its answer counts while this lives
};

}  // namespace skep::control
