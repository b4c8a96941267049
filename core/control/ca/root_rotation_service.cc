#include "core/control/ca/root_rotation_service.h"

#include <utility>

#include "core/control/ca/root_rotation.h"
#include "skep/log.h"

namespace skep::control {

void RootRotationLoop::on_commit(const store::Commit& commit) {
  const auto cluster = view().cluster();
  if (cluster == nullptr || !cluster->root_ca().has_rotation()) {
    return;
  }
  for (const store::Event& event : commit.events) {
    if (event.table == store::Table::kNode || event.table == store::Table::kCluster) {
      return wake();
    }
  }
}

Decision RootRotationLoop::reconcile(WallTime /*now*/) {
  Decision decision;
  if (rotation_complete(view())) {
    SKEP_INFO("every node has a certificate of the new root; the old one is no longer trusted");
    pb::Cluster changed = *view().cluster();
    *changed.mutable_root_ca() = finish_rotation(changed.root_ca(), env().random);
    store::Transaction unit;
    unit.put(std::move(changed));
    decision.add(std::move(unit));
  }
  return decision;
}

}  // namespace skep::control
