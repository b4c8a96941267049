#pragma once

// Shell of the orchestrators: notes which services a commit touched and lets the decider of their
// mode look at them.

#include "core/control/dirty_services.h"
#include "core/control/reconcile_loop.h"

namespace skep::control {

class OrchestratorLoop final : public ReconcileLoop {
 public:
  using ReconcileLoop::ReconcileLoop;
  void on_commit(const store::Commit& commit) override;

 protected:
  void mark_all() override;
  Decision reconcile(WallTime now) override;
  void last_round_failed() override { services_.repeat_round(); }

 private:
  void note_node(const store::Event& event);

  DirtyServices services_;
};

}  // namespace skep::control
