#include "core/control/ports/ports_service.h"

#include "core/control/ports/ports.h"

namespace skep::control {

void PortsLoop::mark_all() {
  for (const auto& [id, service] : view().all<pb::Service>()) {
    services_.mark(id);
  }
}

void PortsLoop::on_commit(const store::Commit& commit) {
  for (const store::Event& event : commit.events) {
    if (event.table == store::Table::kService) {
      if (event.action == store::Action::kRemoved) {
        mark_all();  // Its ports may be what another service waits for.
      } else {
        services_.mark(event.id);
      }
    } else if (const auto* task = event.after_as<pb::Task>();
               task != nullptr && task->status().state() == pb::TASK_STATE_NEW) {
      services_.mark(task->service_id());
    }
  }
  if (!services_.empty()) {
    wake();
  }
}

Decision PortsLoop::reconcile(WallTime now) {
  Decision decision;
  bool allocated = false;
  for (const std::string& id : services_.begin_round(now)) {
    const auto service = view().get<pb::Service>(id);
    if (service == nullptr) {
      continue;
    }
    // One allocation per round: the next one must see it in the store.
    const bool needs_ports = !endpoint_is_allocated(*service);
    if (needs_ports && allocated) {
      services_.mark(id);
      continue;
    }
    allocated = allocated || needs_ports;
    decision.merge(reconcile_ports(view(), *service, now));
  }
  if (!services_.empty()) {
    wake();
  }
  return decision;
}

}  // namespace skep::control
