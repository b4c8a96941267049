#pragma once

// What every manager loop looks like to core/control/manager. A loop runs on the leader only, on
// the control loop's thread. It compares desired with actual and never depends on having seen an
// event: start() reconciles from the whole view, on_commit() reacts to what changed.

#include "core/store/commit.h"
#include "core/store/proposer.h"
#include "core/store/view.h"
#include "skep/env.h"

namespace skep::control {

/// What a loop may use; valid from its construction to its destruction. `view` is always the
/// current state.
struct LoopContext {
  Env& env;
  const store::View& view;
  store::Proposer& proposer;
};

/// Made anew for every leadership, so that nothing leaks from one term into the next.
class ControlLoop {
 public:
  virtual ~ControlLoop() = default;
  /// This manager leads and its view contains everything committed before: reconcile.
  virtual void start() = 0;
  /// Something was committed (by this loop or anybody). Do not propose without bound: have at
  /// most a few proposals in flight and look again when they are answered.
  virtual void on_commit(const store::Commit& commit) = 0;
  /// Leadership is lost or the manager stops: cancel timers, propose nothing more. Answers of
  /// proposals in flight may still arrive until the loop is destroyed; they must not touch freed
  /// memory (keep a weak token).
  virtual void stop() = 0;
};

}  // namespace skep::control
