#pragma once

// Shell of the scheduler: an idle one places at once, a busy one at most every 50 ms.

#include "core/control/reconcile_loop.h"
#include "core/control/scheduler/scheduler.h"

namespace skep::control {

class SchedulerLoop final : public ReconcileLoop {
 public:
  using ReconcileLoop::ReconcileLoop;
  void on_commit(const store::Commit& commit) override;

 protected:
  void mark_all() override;
  Decision reconcile(WallTime now) override;
  void last_round_failed() override;
  [[nodiscard]] Duration debounce() const override;

 private:
  Scheduler scheduler_;
};

}  // namespace skep::control
