#include "core/control/orchestrator/orchestrator_service.h"

#include "core/control/orchestrator/modes.h"
#include "core/model/validate_task.h"

namespace skep::control {

namespace {

bool is_global(const pb::Service& service) {
  return service.spec().has_global() || service.spec().has_global_job();
}

/// What orchestrators look at in a node; a new description alone (free memory, drivers) is not it.
std::string node_facts(const pb::Node& node) {
  pb::Node facts;
  *facts.mutable_spec() = node.spec();
  facts.mutable_status()->set_state(node.status().state());
  facts.mutable_status()->set_address(node.status().address());
  facts.mutable_description()->set_hostname(node.description().hostname());
  *facts.mutable_description()->mutable_platform() = node.description().platform();
  *facts.mutable_description()->mutable_engine()->mutable_labels() =
      node.description().engine().labels();
  return model::deterministic_bytes(facts);
}

/// A task on its way to running, as its node reports it: most changes there are, and no decision
/// depends on how far it came.
bool is_on_its_way(const pb::Task& task) {
  return task.status().state() >= pb::TASK_STATE_ASSIGNED &&
         task.status().state() < pb::TASK_STATE_RUNNING;
}

bool is_only_progress(const pb::Task* before, const pb::Task* after) {
  return before != nullptr && after != nullptr && is_on_its_way(*before) &&
         is_on_its_way(*after) && before->desired_state() == after->desired_state() &&
         before->node_id() == after->node_id() &&
         before->slot_removed() == after->slot_removed() &&
         before->spec_version() == after->spec_version() &&
         before->start_not_before() == after->start_not_before() &&
         before->ports_size() == after->ports_size();
}

}  // namespace

void OrchestratorLoop::mark_all() {
  for (const auto& [id, service] : view().all<pb::Service>()) {
    services_.mark(id);
  }
  for (const auto& [id, task] : view().all<pb::Task>()) {
    services_.mark(task->service_id());  // Services that are gone may have left tasks behind.
  }
}

void OrchestratorLoop::note_node(const store::Event& event) {
  const auto* before = event.before_as<pb::Node>();
  const auto* after = event.after_as<pb::Node>();
  if (before != nullptr && after != nullptr && node_facts(*before) == node_facts(*after)) {
    return;
  }
  for (const auto& [id, task] : view().tasks_of_node(event.id)) {
    services_.mark(task->service_id());
  }
  for (const auto& [id, service] : view().all<pb::Service>()) {
    if (is_global(*service)) {
      services_.mark(id);
    }
  }
}

void OrchestratorLoop::on_commit(const store::Commit& commit) {
  for (const store::Event& event : commit.events) {
    switch (event.table) {
      case store::Table::kService: services_.mark(event.id); break;
      case store::Table::kTask: {
        const auto* before = event.before_as<pb::Task>();
        const auto* after = event.after_as<pb::Task>();
        if (!is_only_progress(before, after)) {
          services_.mark((after != nullptr ? after : before)->service_id());
        }
        break;
      }
      case store::Table::kNode: note_node(event); break;
      case store::Table::kCluster:
      case store::Table::kNetwork:
      case store::Table::kSecret:
      case store::Table::kConfig:
      case store::Table::kVolume:
      case store::Table::kRemovedNode: break;
    }
  }
  if (!services_.empty()) {
    wake();
  }
}

Decision OrchestratorLoop::reconcile(WallTime now) {
  Decision decision;
  for (const std::string& id : services_.begin_round(now)) {
    const auto service = view().get<pb::Service>(id);
    if (service == nullptr) {
      decision.merge(reconcile_removed_service(view(), id, now));
      continue;
    }
    Decision one = reconcile_service(
        {.view = view(), .service = *service, .now = now, .random = env().random, .leading_since = leading_since()});
    if (one.wake_at) {
      services_.wake(id, *one.wake_at);
    }
    one.wake_at.reset();
    decision.merge(std::move(one));
  }
  decision.wake_at = services_.next_wake();
  return decision;
}

}  // namespace skep::control
