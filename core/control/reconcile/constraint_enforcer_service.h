#pragma once

// Shell of the constraint enforcer: looks at nodes whose facts changed.

#include <set>
#include <string>

#include "core/control/reconcile_loop.h"

namespace skep::control {

class ConstraintEnforcerLoop final : public ReconcileLoop {
 public:
  using ReconcileLoop::ReconcileLoop;
  void on_commit(const store::Commit& commit) override;

 protected:
  void mark_all() override;
  Decision reconcile(WallTime now) override;
  void last_round_failed() override { nodes_.insert(round_.begin(), round_.end()); }

 private:
  std::set<std::string> nodes_;
  std::set<std::string> round_;
};

}  // namespace skep::control
