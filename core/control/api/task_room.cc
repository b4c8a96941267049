#include "core/control/api/task_room.h"

#include <algorithm>

namespace skep::control {
namespace {

using model::v1::Service;
using model::v1::ServiceSpec;

/// Tasks that the user sets a number for. As many as there are nodes (global) is not up to the service.
std::uint64_t tasks_of(const ServiceSpec& spec) {
  return spec.has_replicated() ? spec.replicated().replicas() : spec.replicated_job().total_completions();
}

/// At most kAllTasksBytesMax + 1: more is too much anyway.
std::uint64_t bytes_of(const ServiceSpec& spec) {
  const std::uint64_t tasks = tasks_of(spec);
  if (tasks == 0) {
    return 0;
  }
  const std::uint64_t each = kTaskBytes + spec.task().ByteSizeLong();
  return tasks > kAllTasksBytesMax / each ? kAllTasksBytesMax + 1 : tasks * each;
}

}  // namespace

Status check_task_room(const store::View& view, const ServiceSpec& spec, const std::string& service_id) {
  const std::uint64_t wanted = bytes_of(spec);
  const auto known = view.get<Service>(service_id);
  if (wanted == 0 || (known != nullptr && wanted <= bytes_of(known->spec()))) {
    return ok();
  }
  std::uint64_t others = 0;
  for (const auto& [id, service] : view.all<Service>()) {
    others += id == service_id ? 0 : bytes_of(service->spec());
  }
  if (wanted <= kAllTasksBytesMax && others <= kAllTasksBytesMax - wanted) {
    return ok();
  }
  const std::uint64_t each = kTaskBytes + spec.task().ByteSizeLong();
  const std::uint64_t room = (kAllTasksBytesMax - std::min(others, kAllTasksBytesMax)) / each;
  return Error{Code::kResourceExhausted,
               "service '" + spec.name() + "' asks for " + std::to_string(tasks_of(spec)) +
                   " tasks, but the managers of this swarm have room for " + std::to_string(room) +
                   " of this size: use fewer replicas, or a smaller specification",
               "TOO_MANY_TASKS"};
}

}  // namespace skep::control
