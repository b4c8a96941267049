#pragma once

// Takes away what the tasks of a swarm left with the drivers of a node that is in none any more: each driver is told
// that nothing is in use, and removes whatever bears this installation's tag. Whoever leaves a swarm has it done for
// the drivers that run, or will in a moment; a driver that appears later is told then, in this life of the agent or
// the next, so that nothing stays for ever. Loop thread only.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/agentd/driver_wait.h"
#include "core/node/parts.h"
#include "skep/rpc.h"

namespace skep::agentd {

class Leftovers {
 public:
  /// How long drivers that are about to come are waited for: containers go first, then what they use.
  static constexpr Duration kDriverLimit = std::chrono::seconds(15);
  /// After which a driver that could not do it is told again.
  static constexpr Duration kTellAgain = std::chrono::seconds(30);

  /// All of it, and what `view` holds, outlives this object.
  Leftovers(Env& env, rpc::Caller& caller, DriverView view, node::SandboxMaker& sandboxes);
  ~Leftovers();
  Leftovers(const Leftovers&) = delete;
  Leftovers& operator=(const Leftovers&) = delete;

  /// The node leaves its swarm: tells every driver, whatever it was told before, and removes the sandboxes. `done` gets
  /// the drivers that did not come in time.
  void remove(std::function<void(std::vector<host::AbsentDriver>)> done);
  /// Outside of a swarm, whenever drivers may have changed: tells those that were not told in their incarnation.
  void check();
  /// A swarm begins here: nobody is told any more until check() or remove(), and `then` runs when no driver is still at
  /// work on what it was told. At once, from within, when none is.
  void pause(std::function<void()> then);

 private:
  using Done = std::function<void(std::vector<host::AbsentDriver>)>;
  enum class Phase { kIdle, kWaiting, kTelling };
  struct Round;

  void begin(Done done);
  void tell(const std::shared_ptr<Round>& round);
  void tell_one(const std::shared_ptr<Round>& round, std::size_t index);
  void answered(const std::shared_ptr<Round>& round, std::size_t index, const Status& status);
  void remove_sandboxes(const std::shared_ptr<Round>& round);
  void end(const std::shared_ptr<Round>& round);
  [[nodiscard]] std::vector<host::DriverState> untold() const;

  Env& env_;
  rpc::Caller& caller_;
  DriverView view_;
  node::SandboxMaker& sandboxes_;
  Phase phase_ = Phase::kIdle;
  std::uint64_t round_ = 0;                    // a wait of an older one is nobody's any more
  std::map<std::string, std::uint64_t> told_;  // driver -> incarnation
  std::vector<std::function<void()>> paused_;
  TimerId again_timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::agentd
