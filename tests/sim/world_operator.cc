#include "core/model/task_state.h"
#include "skep/control.methods.h"
#include "world.h"

namespace skep::sim {

namespace {
const char* const kImages[] = {"app:1", "app:2", "app:3", "bad:1"};

bool needs_repair(const pb::Service& service) {
  const auto state = service.update_status().state();
  return service.spec().task().container().image() == "bad:1" ||
         state == pb::UpdateStatus::PAUSED || state == pb::UpdateStatus::ROLLBACK_PAUSED;
}

bool wants_node(const pb::Service& service, const pb::Node& node) {
  const bool even_only = !service.spec().task().placement().constraints().empty();
  return !node.id().starts_with('m') &&
         (!even_only || node.spec().labels().at("zone") == "even");
}
}  // namespace

template <class Method>
void World::ask(const typename Method::Request& request) {
  rpc::Caller* user = any_user();
  if (user == nullptr) {
    return;
  }
  rpc::call<Method>(*user, "core", request, {.deadline = 30s},
                    [this](const Result<typename Method::Response>& answer) {
                      if constexpr (requires { answer->service(); }) {
                        if (answer) {
                          note_answer(answer->service());
                        }
                      } else if constexpr (requires { answer->node(); }) {
                        if (answer) {
                          note_answer(answer->node());
                        }
                      }
                    });
}

void World::create_service(const pb::ServiceSpec& spec) {
  control::v1::CreateServiceRequest request;
  *request.mutable_spec() = spec;
  ask<control::v1::methods::CreateService>(request);
}

void World::update_service(const pb::Service& service,
                           const std::function<bool(pb::ServiceSpec&)>& change, bool rollback) {
  control::v1::UpdateServiceRequest request;
  request.set_ref(service.id());
  request.set_version(service.meta().version());
  *request.mutable_spec() = service.spec();
  request.set_rollback(rollback);
  if (!change(*request.mutable_spec())) {
    return;
  }
  ask<control::v1::methods::UpdateService>(request);
}

void World::update_node(const std::string& id, pb::Availability availability) {
  const auto node = leader()->view().get<pb::Node>(id);
  if (node == nullptr || node->spec().availability() == availability) {
    return;
  }
  control::v1::UpdateNodeRequest request;
  request.set_ref(id);
  request.set_version(node->meta().version());
  *request.mutable_spec() = node->spec();
  request.mutable_spec()->set_availability(availability);
  ask<control::v1::methods::UpdateNode>(request);
}

void World::one_action() {
  if (leader() == nullptr) {
    return;
  }
  const auto& services = leader()->view().all<pb::Service>();
  const std::uint64_t kind = rng_.below(10);
  if (kind < 2) {
    fire("operator: availability");
    const auto availability = static_cast<pb::Availability>(rng_.below(3));
    return update_node(any_node().id(), availability);
  }
  if (kind == 2 || services.empty()) {
    fire("operator: create");
    return create_service(draw_spec(100 + rng_.below(1000)));
  }
  auto chosen = services.begin();
  std::advance(chosen, static_cast<std::ptrdiff_t>(rng_.below(services.size())));
  const pb::Service& service = *chosen->second;
  if (service.spec().name().starts_with('r')) {
    return;  // a register of the clients
  }
  if (kind == 3 && services.size() > (shape_.wide ? 5 : 2)) {
    fire("operator: remove");
    control::v1::RemoveServiceRequest request;
    request.set_ref(service.id());
    ask<control::v1::methods::RemoveService>(request);
  } else if (kind < 6) {
    fire("operator: scale");
    update_service(service, [this](pb::ServiceSpec& spec) {
      if (!spec.has_replicated()) {
        return false;
      }
      spec.mutable_replicated()->set_replicas(rng_.below(shape_.wide ? 26 : 8));
      return true;
    }, false);
  } else if (kind < 9) {
    fire("operator: update");
    update_service(service, [this](pb::ServiceSpec& spec) {
      spec.mutable_task()->mutable_container()->set_image(kImages[rng_.below(4)]);
      spec.mutable_task()->set_force_update(spec.task().force_update() + 1);
      return true;
    }, false);
  } else {
    fire("operator: rollback");
    update_service(service, [](pb::ServiceSpec&) { return true; }, true);
  }
}

/// The operator's part of the healing: nodes take tasks again, bad versions and paused updates get a
/// good one.
void World::repair_services() {
  if (leader() == nullptr) {
    return;
  }
  for (const auto& node : nodes_) {
    update_node(node->id(), pb::AVAILABILITY_ACTIVE);
  }
  for (const auto& [id, service] : leader()->view().all<pb::Service>()) {
    if (needs_repair(*service)) {
      update_service(*service, [](pb::ServiceSpec& spec) {
        spec.mutable_task()->mutable_container()->set_image("app:1");
        spec.mutable_task()->set_force_update(spec.task().force_update() + 1);
        return true;
      }, false);
    }
  }
}

std::string World::unmet_goal_of(const pb::Service& service) const {
  const auto& view = leader()->view();
  std::size_t wanted = service.spec().replicated().replicas();
  if (service.spec().has_global()) {
    wanted = 0;
    for (const auto& [id, node] : view.all<pb::Node>()) {
      wanted += wants_node(service, *node) ? 1 : 0;
    }
  }
  const auto state = service.update_status().state();
  if (state == pb::UpdateStatus::UPDATING || state == pb::UpdateStatus::ROLLBACK_STARTED) {
    return "update of service " + service.spec().name() + " has not ended";
  }
  std::size_t running = 0;
  for (const auto& [id, task] : view.tasks_of_service(service.id())) {
    if (!model::is_wanted(*task)) {
      if (!model::is_terminal(task->status().state())) {
        return "task " + id + " has not stopped on " + task->node_id() + " (" +
               std::string(model::task_state_name(task->status().state())) + ")";
      }
      continue;
    }
    if (task->status().state() != pb::TASK_STATE_RUNNING || !container_runs(*task)) {
      return "task " + id + " of " + service.spec().name() + " on '" + task->node_id() + "' is " +
             std::string(model::task_state_name(task->status().state())) + " desired " +
             std::string(model::task_state_name(task->desired_state())) +
             (container_runs(*task) ? "" : " without container") + " " + task->status().message() +
             " " + task->status().error();
    }
    ++running;
  }
  return running == wanted ? ""
                           : "service " + service.spec().name() + " has " +
                                 std::to_string(running) + " of " + std::to_string(wanted) + " tasks";
}

std::string World::unmet_goal() const {
  if (std::string unmet = unmet_goal_of_managers(); !unmet.empty()) {
    return unmet;
  }
  const auto& view = leader()->view();
  for (const auto& node : nodes_) {
    const auto known = view.get<pb::Node>(node->id());
    if (known == nullptr || known->status().state() != pb::NODE_STATE_READY) {
      return "node " + node->id() + " is not ready";
    }
  }
  for (const auto& [id, service] : view.all<pb::Service>()) {
    if (needs_repair(*service)) {
      return "service " + service->spec().name() + " is not repaired";
    }
    if (std::string unmet = unmet_goal_of(*service); !unmet.empty()) {
      return unmet;
    }
  }
  for (const auto& node : nodes_) {
    const std::string left = node->leftovers([&](const std::string& task_id) {
      const auto task = view.get<pb::Task>(task_id);
      return task != nullptr && task->node_id() == node->id() && model::is_wanted(*task);
    });
    if (!left.empty()) {
      return left;
    }
  }
  for (const auto& [id, task] : view.all<pb::Task>()) {
    if (view.get<pb::Service>(task->service_id()) == nullptr) {
      return "task " + id + " of a removed service is still there";
    }
  }
  return certified_ == nullptr ? std::string() : certified_->unmet_goal(view);
}

}  // namespace skep::sim
