#include "core/control/api/edit.h"

#include <algorithm>
#include <utility>

#include "core/control/api/lookup.h"
#include "core/control/api/redact.h"
#include "core/control/api/task_room.h"
#include "core/control/ca/ca.h"
#include "core/control/orchestrator/update.h"
#include "core/control/ports/ports.h"
#include "core/model/ids.h"
#include "core/model/names.h"
#include "core/model/validate.h"

namespace skep::control {
namespace {

using model::v1::Node;
using model::v1::Service;
using model::v1::ServiceSpec;

/// Removed nodes that one removal forgets: a change has a bound, and each adds one only.
constexpr int kForgottenMax = 100;

void forget_removed(const store::View& view, WallTime now, store::Transaction& transaction) {
  int forgotten = 0;
  for (const auto& [id, node] : view.all<model::v1::RemovedNode>()) {
    if (node->certificates_until() < now && forgotten++ < kForgottenMax) {
      transaction.remove(*node);
    }
  }
}

/// Networks that every node has without anybody creating them.
bool is_predefined(std::string_view network) {
  return network == "bridge" || network == "host" || network == "none";
}

Status check_references(const store::View& view, const ServiceSpec& spec) {
  for (const auto& network : spec.task().networks()) {
    const std::string& target = network.target();
    if (!is_predefined(target) && view.get<model::v1::Network>(target) == nullptr &&
        view.network_by_name(target) == nullptr) {
      return Error{Code::kNotFound, "network '" + target + "' not found", "NETWORK_UNKNOWN"};
    }
  }
  for (const auto& secret : spec.task().container().secrets()) {
    if (view.get<model::v1::Secret>(secret.id()) == nullptr) {
      return Error{Code::kNotFound, "secret '" + secret.name() + "' not found", "SECRET_UNKNOWN"};
    }
  }
  for (const auto& config : spec.task().container().configs()) {
    if (view.get<model::v1::Config>(config.id()) == nullptr) {
      return Error{Code::kNotFound, "config '" + config.name() + "' not found", "CONFIG_UNKNOWN"};
    }
  }
  return ok();
}

Status check_spec(const store::View& view, const ServiceSpec& spec, const std::string& service_id) {
  SKEP_TRY(model::validate_service_spec(spec));
  if (spec.ByteSizeLong() > kServiceSpecBytesMax) {
    return Error{Code::kInvalidArgument,
                 "the service's specification has " + std::to_string(spec.ByteSizeLong()) +
                     " bytes, at most " + std::to_string(kServiceSpecBytesMax) +
                     " are allowed; put large values into a config",
                 "SPEC_TOO_LARGE"};
  }
  SKEP_TRY(check_task_room(view, spec, service_id));
  SKEP_TRY(check_references(view, spec));
  return check_published_ports(view, spec, service_id);
}

/// What the request leaves out stays: the name, the replicas, credentials its sender could not see.
void replace_spec(Service& service, const ServiceSpec& spec, std::uint64_t new_version) {
  const ServiceSpec before = service.spec();
  *service.mutable_spec() = spec;
  ServiceSpec& after = *service.mutable_spec();
  if (after.name().empty()) {
    after.set_name(before.name());
  }
  if (after.mode_case() == ServiceSpec::MODE_NOT_SET && before.has_replicated()) {
    *after.mutable_replicated() = before.replicated();
  }
  keep_credentials(before, after);
  // Any change of what tasks are or where they may be is a version; the updater replaces only tasks
  // that really differ from it.
  if (model::is_new_version(before, after)) {
    service.set_spec_version(new_version);
    service.clear_update_status();
  }
  *service.mutable_previous_spec() = before;
}

std::string free_name(const store::View& view, const std::set<std::string>& in_flight,
                      Random& random) {
  std::string name = model::random_name(random);
  const std::string base = name;
  for (int number = 1; view.service_by_name(name) != nullptr || in_flight.contains(name);
       ++number) {
    name = base + std::to_string(number);
  }
  return name;
}

}  // namespace

void note_operation(model::v1::Meta& meta, const std::string& operation_id) {
  if (operation_id.empty()) {
    return;
  }
  meta.add_operation_ids(operation_id);
  const int surplus = meta.operation_ids_size() - static_cast<int>(kOperationIdsKept);
  if (surplus > 0) {
    meta.mutable_operation_ids()->DeleteSubrange(0, surplus);
  }
}

Status check_version(std::string_view noun, std::string_view name, std::uint64_t read,
                     std::uint64_t present) {
  if (read == 0) {
    return Error{Code::kInvalidArgument, "an update must name the version that was read",
                 "VERSION_MISSING"};
  }
  if (read != present) {
    return Error{Code::kConflict,
                 std::string(noun) + " '" + std::string(name) +
                     "' changed since it was read (version " + std::to_string(read) + ", now " +
                     std::to_string(present) + "); read it again and repeat the change",
                 "VERSION_CONFLICT"};
  }
  return ok();
}

bool has_operation(const model::v1::Meta& meta, const std::string& operation_id) {
  return !operation_id.empty() &&
         std::find(meta.operation_ids().begin(), meta.operation_ids().end(), operation_id) !=
             meta.operation_ids().end();
}

Result<Edit<Service>> create_service(const store::View& view,
                                     const control::v1::CreateServiceRequest& request,
                                     const std::string& operation_id,
                                     const std::set<std::string>& names_in_flight, Random& random) {
  Edit<Service> edit;
  Service& service = edit.object;
  *service.mutable_spec() = request.spec();
  ServiceSpec& spec = *service.mutable_spec();
  if (spec.name().empty()) {
    for (const auto& [id, other] : view.all<Service>()) {
      if (has_operation(other->meta(), operation_id)) {
        edit.object = *other;
        return edit;
      }
    }
    spec.set_name(free_name(view, names_in_flight, random));
  }
  if (spec.mode_case() == ServiceSpec::MODE_NOT_SET) {
    spec.mutable_replicated()->set_replicas(1);
  }
  const auto existing = view.service_by_name(spec.name());
  if (existing != nullptr && has_operation(existing->meta(), operation_id)) {
    edit.object = *existing;
    return edit;
  }
  SKEP_TRY(check_spec(view, spec, ""));
  if (existing != nullptr || names_in_flight.contains(spec.name())) {
    return Error{Code::kAlreadyExists,
                 "service '" + spec.name() + "' already exists; choose another name or update it",
                 "NAME_IN_USE"};
  }
  service.set_id(model::new_id(random));
  *service.mutable_endpoint()->mutable_spec() = spec.endpoint();
  note_operation(*service.mutable_meta(), operation_id);
  edit.transaction.put(service);
  return edit;
}

Result<Edit<Service>> update_service(const store::View& view,
                                     const control::v1::UpdateServiceRequest& request,
                                     const std::string& operation_id, WallTime now) {
  SKEP_TRY_ASSIGN(const auto known, find_service(view, request.ref()));
  Edit<Service> edit;
  edit.object = *known;
  if (has_operation(known->meta(), operation_id)) {
    return edit;
  }
  SKEP_TRY(
      check_version("service", known->spec().name(), request.version(), known->meta().version()));
  Service& service = edit.object;
  // Higher than every earlier one: the version that was read grows with every change.
  const std::uint64_t new_version = known->meta().version();
  if (request.rollback()) {
    SKEP_TRY_ASSIGN(service,
                    begin_rollback(*known, new_version, now, "manually requested rollback"));
  } else {
    replace_spec(service, request.spec(), new_version);
  }
  SKEP_TRY(check_spec(view, service.spec(), service.id()));
  SKEP_TRY(model::validate_service_change(known->spec(), service.spec()));
  note_operation(*service.mutable_meta(), operation_id);
  edit.transaction.put(service);
  return edit;
}

Result<Edit<Service>> remove_service(const store::View& view,
                                     const control::v1::RemoveServiceRequest& request) {
  SKEP_TRY_ASSIGN(const auto known, find_service(view, request.ref()));
  Edit<Service> edit;
  edit.object = *known;
  edit.transaction.remove(*known);  // the orchestrator ends its tasks
  return edit;
}

Result<Edit<Node>> update_node(const store::View& view,
                               const control::v1::UpdateNodeRequest& request,
                               const std::string& operation_id, std::string_view self) {
  SKEP_TRY_ASSIGN(const auto known, find_node(view, request.ref(), self));
  Edit<Node> edit;
  edit.object = *known;
  if (has_operation(known->meta(), operation_id)) {
    return edit;
  }
  SKEP_TRY(check_version("node", known->id(), request.version(), known->meta().version()));
  SKEP_TRY(model::validate_node_spec(request.spec()));
  if (const std::size_t bytes = request.spec().ByteSizeLong(); bytes > kNodeSpecBytesMax) {
    return Error{Code::kInvalidArgument,
                 "name and labels of node '" + known->id() + "' have " + std::to_string(bytes) +
                     " bytes, at most " + std::to_string(kNodeSpecBytesMax) + " are allowed; use shorter labels",
                 "SPEC_TOO_LARGE"};
  }
  if (known->spec().role() == model::v1::NODE_ROLE_MANAGER &&
      request.spec().role() != model::v1::NODE_ROLE_MANAGER) {
    std::size_t managers = 0;
    for (const auto& [id, node] : view.all<Node>()) {
      managers += node->spec().role() == model::v1::NODE_ROLE_MANAGER ? 1 : 0;
    }
    if (managers <= 1) {
      return Error{Code::kFailedPrecondition,
                   "node '" + known->id() + "' is the last manager; promote another node first",
                   "LAST_MANAGER"};
    }
    if (const auto cluster = view.cluster()) {
      edit.transaction.put(*cluster);  // of two demotions at once, each of which counts the other, one fails
    }
  }
  *edit.object.mutable_spec() = request.spec();
  note_operation(*edit.object.mutable_meta(), operation_id);
  edit.transaction.put(edit.object);
  return edit;
}

Result<Edit<Node>> remove_node(const store::View& view,
                               const control::v1::RemoveNodeRequest& request, std::string_view self,
                               const std::function<bool(const std::string&)>& is_member,
                               WallTime now) {
  SKEP_TRY_ASSIGN(const auto known, find_node(view, request.ref(), self));
  if (known->spec().role() == model::v1::NODE_ROLE_MANAGER || is_member(known->id())) {
    return Error{
        Code::kFailedPrecondition,
        "node '" + known->id() +
            "' is a cluster manager and is a member of the raft cluster. It must be demoted "
            "to worker before removal",
        "NODE_IS_MANAGER"};
  }
  if (!request.force() && known->status().state() != model::v1::NODE_STATE_DOWN) {
    return Error{Code::kFailedPrecondition,
                 "node '" + known->id() +
                     "' is not down and can't be removed; let it leave the swarm, or use --force",
                 "NODE_NOT_DOWN"};
  }
  Edit<Node> edit;
  edit.object = *known;
  edit.transaction.remove(*known);
  forget_removed(view, now, edit.transaction);
  if (const auto cluster = view.cluster()) {
    model::v1::RemovedNode removed;
    removed.set_id(known->id());
    removed.set_certificates_until(now + certificate_life(cluster->spec()).count());
    edit.transaction.put(std::move(removed));
  }
  return edit;
}

}  // namespace skep::control
