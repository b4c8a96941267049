#pragma once

// The shell around every pure decider: runs it when something became dirty, proposes what it
// decided, waits for the answers, and looks again when asked to. While proposals are in flight nothing
// is decided, so that a decision always sees its predecessors. Control loop thread only.

#include <memory>
#include <optional>

#include "core/control/committer.h"
#include "core/control/control_loop.h"
#include "core/control/orchestrator/decision.h"

namespace skep::control {

class ReconcileLoop : public ControlLoop {
 public:
  explicit ReconcileLoop(LoopContext context);
  ~ReconcileLoop() override;

  void start() final;
  void stop() final;

 protected:
  /// Marks everything dirty (called by start()).
  virtual void mark_all() = 0;
  /// Decides about what is dirty and forgets that it was. `now` is the time of the decision.
  virtual Decision reconcile(WallTime now) = 0;
  /// What the last reconcile() decided did not (all) happen: make that dirty again.
  virtual void last_round_failed() = 0;
  /// At least this long between two runs; zero when the loop is cheap.
  [[nodiscard]] virtual Duration debounce() const { return Duration{0}; }

  /// Something is dirty: run as soon as possible.
  void wake();
  [[nodiscard]] const store::View& view() const { return context_.view; }
  [[nodiscard]] Env& env() const { return context_.env; }
  /// On the clock of decisions. What has an earlier time may be stamped by another manager's clock.
  [[nodiscard]] WallTime leading_since() const { return leading_since_; }

 private:
  void run();
  void on_done(Committer::Outcome outcome);
  void arm(Duration delay);

  LoopContext context_;
  Committer committer_;
  WallTime leading_since_ = 0;
  bool running_ = false;   // between start() and stop()
  bool dirty_ = false;
  bool posted_ = false;
  TimerId timer_ = 0;
  std::optional<TimePoint> timer_due_;
  TimePoint next_run_{};   // debounce: not before
  Duration retry_pause_{0};
  std::shared_ptr<ReconcileLoop*> self_;  // posted work holds it weakly
};

}  // namespace skep::control
