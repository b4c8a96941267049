#include "core/control/api/lookup.h"

#include <set>
#include <utility>

#include "core/model/names.h"
#include "core/model/task_state.h"

namespace skep::control {
namespace {

using model::v1::Node;
using model::v1::Secret;
using model::v1::Service;
using model::v1::Task;

/// The only object whose id begins with `prefix`.
template <class T>
Result<store::Ptr<T>> find_by_prefix(const store::ObjectMap<T>& objects, std::string_view prefix,
                                     std::string_view noun) {
  const auto first = objects.lower_bound(prefix);
  if (prefix.empty() || first == objects.end() || !first->first.starts_with(prefix)) {
    const std::string where =
        noun == "task" ? "" : "; 'agentctl " + std::string(noun) + " ls' lists them";
    return Error{Code::kNotFound,
                 std::string(noun) + " '" + std::string(prefix) + "' not found" + where, "NOT_FOUND"};
  }
  const auto second = std::next(first);
  if (second != objects.end() && second->first.starts_with(prefix)) {
    return Error{Code::kInvalidArgument,
                 "several " + std::string(noun) + "s have an id that begins with '" +
                     std::string(prefix) + "'; give more of it",
                 "AMBIGUOUS_REFERENCE"};
  }
  return first->second;
}

/// "web.3" or "web.3.ID": the newest task of that slot; nullptr when it is no such name.
store::Ptr<Task> find_task_by_name(const store::View& view, std::string_view ref) {
  for (auto dot = ref.find('.'); dot != std::string_view::npos; dot = ref.find('.', dot + 1)) {
    const auto service = view.service_by_name(ref.substr(0, dot));
    if (service == nullptr) {
      continue;
    }
    store::Ptr<Task> newest;
    for (const auto& [id, task] : view.tasks_of_service(service->id())) {
      const std::string name = task_name(*task);
      if (ref == name + "." + id) {
        return task;
      }
      if (ref == name &&
          (newest == nullptr || newest->meta().created_at() < task->meta().created_at())) {
        newest = task;
      }
    }
    if (newest != nullptr) {
      return newest;
    }
  }
  return nullptr;
}

std::uint64_t wanted_everywhere(const store::View& view, const Service& service) {
  std::set<std::string_view> nodes;
  for (const auto& [id, task] : view.tasks_of_service(service.id())) {
    if (model::is_wanted(*task) && !task->node_id().empty()) {
      nodes.insert(task->node_id());
    }
  }
  return nodes.size();
}

}  // namespace

Result<store::Ptr<Service>> find_service(const store::View& view, std::string_view ref) {
  if (auto service = view.get<Service>(ref)) {
    return service;
  }
  if (auto service = view.service_by_name(ref)) {
    return service;
  }
  return find_by_prefix(view.all<Service>(), ref, "service");
}

Result<store::Ptr<Secret>> find_secret(const store::View& view, std::string_view ref) {
  if (auto secret = view.get<Secret>(ref)) {
    return secret;
  }
  if (auto secret = view.secret_by_name(ref)) {
    return secret;
  }
  return find_by_prefix(view.all<Secret>(), ref, "secret");
}

Result<store::Ptr<Task>> find_task(const store::View& view, std::string_view ref) {
  if (auto task = view.get<Task>(ref)) {
    return task;
  }
  if (auto task = find_task_by_name(view, ref)) {
    return task;
  }
  return find_by_prefix(view.all<Task>(), ref, "task");
}

Result<store::Ptr<Node>> find_node(const store::View& view, std::string_view ref,
                                   std::string_view self) {
  if (auto node = view.get<Node>(ref == "self" ? self : ref)) {
    return node;
  }
  const auto& named = view.nodes_by_hostname(ref);
  if (named.size() == 1) {
    return named.begin()->second;
  }
  if (named.size() > 1) {
    return Error{Code::kInvalidArgument,
                 "several nodes have the host name '" + std::string(ref) + "'; use the id of one",
                 "AMBIGUOUS_REFERENCE"};
  }
  return find_by_prefix(view.all<Node>(), ref, "node");
}

std::string task_name(const Task& task) {
  return task.service_name() + "." +
         (task.slot() != 0 ? std::to_string(task.slot()) : task.node_id());
}

control::v1::ServiceCounts count_tasks(const store::View& view, const Service& service) {
  control::v1::ServiceCounts counts;
  std::uint64_t running = 0;
  std::uint64_t completed = 0;
  for (const auto& [id, task] : view.tasks_of_service(service.id())) {
    if (task->status().state() == model::v1::TASK_STATE_RUNNING &&
        task->desired_state() == model::v1::TASK_STATE_RUNNING) {
      ++running;
    }
    if (task->status().state() == model::v1::TASK_STATE_COMPLETE &&
        task->job_iteration() == service.spec_version()) {
      ++completed;
    }
  }
  counts.set_running(running);
  switch (service.spec().mode_case()) {
    case model::v1::ServiceSpec::kReplicated:
      counts.set_desired(service.spec().replicated().replicas());
      break;
    case model::v1::ServiceSpec::kGlobal:
    case model::v1::ServiceSpec::kGlobalJob:
      counts.set_desired(wanted_everywhere(view, service));
      break;
    case model::v1::ServiceSpec::kReplicatedJob:
      counts.set_desired(service.spec().replicated_job().max_concurrent());
      break;
    case model::v1::ServiceSpec::MODE_NOT_SET:
      break;
  }
  const bool is_job = service.spec().has_replicated_job() || service.spec().has_global_job();
  counts.set_completed(is_job ? completed : 0);
  return counts;
}

}  // namespace skep::control
