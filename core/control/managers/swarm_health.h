#pragma once

// How the swarm is as far as this manager knows: keeps the quorum watch up to date, asks the log how
// it is, and words the errors of a swarm without a leader. Lives as long as its Manager. Loop thread
// only.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/control/consensus_client.h"
#include "core/control/managers/quorum_watch.h"
#include "core/store/view.h"
#include "skep/env.h"
#include "skep/rpc.h"

namespace skep::control {

class SwarmHealth {
 public:
  struct Config {
    std::string consensus_target;
    std::uint64_t self = 0;  ///< member id
  };
  /// Everything given outlives this object.
  SwarmHealth(Env& env, rpc::Caller& local, const store::View& view, const ConsensusClient& client,
              Config config);
  ~SwarmHealth();
  SwarmHealth(const SwarmHealth&) = delete;
  SwarmHealth& operator=(const SwarmHealth&) = delete;

  /// See QuorumWatch.
  void leader_changed(std::uint64_t leader);
  void heard(std::uint64_t member) { watch_.heard(member, env_.clock.now()); }
  void took(std::uint64_t member, const Status& status) {
    watch_.took(member, status, env_.clock.now());
  }

  /// Asks the log how it is, at most for two seconds; nothing while that is under way.
  void refresh();
  /// What is wrong, after the log was asked; empty: nothing, or this object is gone.
  void ask(std::function<void(std::string trouble)> done);
  /// What is wrong by what is known now; empty: nothing.
  [[nodiscard]] std::string trouble() const;
  /// kUnavailable NO_LEADER with the reason, or with `else_why` when nothing is known of one.
  [[nodiscard]] Error no_leader(const std::string& else_why = "") const;

 private:
  void answered(const Result<consensus::v1::StatusResponse>& status);

  Env& env_;
  rpc::Caller& local_;
  const store::View& view_;
  const ConsensusClient& client_;
  const Config config_;
  QuorumWatch watch_;
  std::string failed_;   // what the log said last
  std::string stalled_;
  bool asking_ = false;
  std::vector<std::function<void(std::string)>> waiting_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace skep::control
