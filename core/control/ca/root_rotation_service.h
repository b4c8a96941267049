#pragma once

// Ends a rotation of the root once every node has a certificate of the new one. Runs while leading.

#include "core/control/reconcile_loop.h"

namespace skep::control {

class RootRotationLoop final : public ReconcileLoop {
 public:
  using ReconcileLoop::ReconcileLoop;
  void on_commit(const store::Commit& commit) override;

 protected:
  void mark_all() override {}
  Decision reconcile(WallTime now) override;
  void last_round_failed() override {}
};

}  // namespace skep::control
