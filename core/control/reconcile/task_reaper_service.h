#pragma once

// Shell of the task reaper: collects services with changed tasks and looks at them in rounds, so that
// a burst of ends costs one change set.

#include "core/control/dirty_services.h"
#include "core/control/reconcile_loop.h"

namespace skep::control {

class TaskReaperLoop final : public ReconcileLoop {
 public:
  using ReconcileLoop::ReconcileLoop;
  void on_commit(const store::Commit& commit) override;

 protected:
  void mark_all() override;
  Decision reconcile(WallTime now) override;
  void last_round_failed() override { services_.repeat_round(); }
  [[nodiscard]] Duration debounce() const override { return std::chrono::milliseconds(250); }

 private:
  DirtyServices services_;
};

}  // namespace skep::control
