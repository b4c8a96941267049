#pragma once

// Shell of the port allocator.

#include "core/control/dirty_services.h"
#include "core/control/reconcile_loop.h"

namespace skep::control {

class PortsLoop final : public ReconcileLoop {
 public:
  using ReconcileLoop::ReconcileLoop;
  void on_commit(const store::Commit& commit) override;

 protected:
  void mark_all() override;
  Decision reconcile(WallTime now) override;
  void last_round_failed() override { services_.repeat_round(); }

 private:
  DirtyServices services_;
};

}  // namespace skep::control
