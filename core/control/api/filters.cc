#include "core/control/api/filters.h"

#include <algorithm>
#include <utility>

#include "core/control/api/lookup.h"
#include "core/model/task_state.h"
#include "core/model/validate.h"

namespace skep::control {
namespace {

template <class Map>
bool label_matches(const Map& labels, std::string_view wanted) {
  const auto equals = wanted.find('=');
  const auto it = labels.find(std::string(wanted.substr(0, equals)));
  if (it == labels.end()) {
    return false;
  }
  return equals == std::string_view::npos || it->second == wanted.substr(equals + 1);
}

std::string_view mode_name(const model::v1::ServiceSpec& spec) {
  switch (spec.mode_case()) {
    case model::v1::ServiceSpec::kReplicated:
      return "replicated";
    case model::v1::ServiceSpec::kGlobal:
      return "global";
    case model::v1::ServiceSpec::kReplicatedJob:
      return "replicated-job";
    case model::v1::ServiceSpec::kGlobalJob:
      return "global-job";
    case model::v1::ServiceSpec::MODE_NOT_SET:
      break;
  }
  return "";
}

Error bad_value(std::string_view key, std::string_view value, std::string_view allowed) {
  return Error{
      Code::kInvalidArgument,
      "filter '" + std::string(key) + "=" + std::string(value) + "': use " + std::string(allowed),
      "BAD_FILTER"};
}

Status check_values(const Filters& filters, std::string_view key,
                    std::initializer_list<std::string_view> allowed, std::string_view text) {
  for (const auto& value : filters.values(key)) {
    if (std::find(allowed.begin(), allowed.end(), value) == allowed.end()) {
      return bad_value(key, value, text);
    }
  }
  return ok();
}

bool is_true(std::string_view value) {
  return value == "true" || value == "1";
}

}  // namespace

Result<Filters> Filters::make(const Repeated& filters,
                              std::initializer_list<std::string_view> known) {
  Filters made;
  for (const auto& filter : filters) {
    if (std::find(known.begin(), known.end(), filter.key()) == known.end()) {
      std::string names;
      for (const auto name : known) {
        if (!name.starts_with('_')) {
          names += names.empty() ? "" : ", ";
          names += name;
        }
      }
      return Error{Code::kInvalidArgument,
                   "unknown filter '" + filter.key() + "'; there are " + names, "UNKNOWN_FILTER"};
    }
    made.by_key_[filter.key()].push_back(filter.value());
  }
  return made;
}

const std::vector<std::string>& Filters::values(std::string_view key) const {
  static const std::vector<std::string> kNone;
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? kNone : it->second;
}

template <class Test>
bool Filters::any(std::string_view key, Test test) const {
  const auto it = by_key_.find(key);
  return it == by_key_.end() || std::any_of(it->second.begin(), it->second.end(), test);
}

Result<Filters> Filters::for_services(const Repeated& filters) {
  SKEP_TRY_ASSIGN(Filters made, make(filters, {"id", "name", "label", "mode", "runtime"}));
  SKEP_TRY(check_values(made, "mode", {"replicated", "global", "replicated-job", "global-job"},
                        "replicated, global, replicated-job or global-job"));
  return made;
}

Result<Filters> Filters::for_tasks(const Repeated& filters, const store::View& view,
                                   std::string_view self) {
  SKEP_TRY_ASSIGN(Filters made, make(filters, {"id", "name", "label", "service", "node",
                                               "desired-state", "runtime", "_up-to-date"}));
  SKEP_TRY(check_values(made, "desired-state",
                        {"running", "shutdown", "accepted", "ready", "complete", "remove"},
                        "running, shutdown or accepted"));
  SKEP_TRY(check_values(made, "_up-to-date", {"true", "false", "1", "0"}, "true or false"));
  if (const auto it = made.by_key_.find("service"); it != made.by_key_.end()) {
    for (auto& value : it->second) {
      SKEP_TRY_ASSIGN(const auto service, find_service(view, value));
      value = service->id();
    }
  }
  if (const auto it = made.by_key_.find("node"); it != made.by_key_.end()) {
    for (auto& value : it->second) {
      SKEP_TRY_ASSIGN(const auto node, find_node(view, value, self));
      value = node->id();
    }
  }
  return made;
}

Result<Filters> Filters::for_nodes(const Repeated& filters) {
  SKEP_TRY_ASSIGN(Filters made,
                  make(filters, {"id", "name", "label", "node.label", "role", "membership"}));
  SKEP_TRY(check_values(made, "role", {"manager", "worker"}, "manager or worker"));
  SKEP_TRY(check_values(made, "membership", {"accepted", "pending"}, "accepted or pending"));
  return made;
}

bool Filters::matches(const model::v1::Service& service) const {
  const auto& spec = service.spec();
  const std::string& runtime = spec.task().runtime();
  return any("id", [&](const auto& value) { return service.id().starts_with(value); }) &&
         any("name", [&](const auto& value) { return spec.name().starts_with(value); }) &&
         any("label", [&](const auto& value) { return label_matches(spec.labels(), value); }) &&
         any("mode", [&](const auto& value) { return value == mode_name(spec); }) &&
         any("runtime",
             [&](const auto& value) { return value == (runtime.empty() ? "oci" : runtime); });
}

bool Filters::matches(const model::v1::Task& task, const store::View& view) const {
  const std::string& runtime = task.spec().runtime();
  const auto up_to_date = [&](const auto& value) {
    const auto service = view.get<model::v1::Service>(task.service_id());
    const bool current = service != nullptr && model::is_current_version(*service, task);
    return current == is_true(value);
  };
  return any("id", [&](const auto& value) { return task.id().starts_with(value); }) &&
         any("name", [&](const auto& value) { return task_name(task).starts_with(value); }) &&
         any("label",
             [&](const auto& value) { return label_matches(task.service_labels(), value); }) &&
         any("service", [&](const auto& value) { return task.service_id() == value; }) &&
         any("node", [&](const auto& value) { return task.node_id() == value; }) &&
         any("desired-state",
             [&](const auto& value) {
               return value == model::task_state_name(task.desired_state());
             }) &&
         any("runtime",
             [&](const auto& value) { return value == (runtime.empty() ? "oci" : runtime); }) &&
         any("_up-to-date", up_to_date);
}

bool Filters::matches(const model::v1::Node& node) const {
  const auto& description = node.description();
  const bool manager = node.spec().role() == model::v1::NODE_ROLE_MANAGER;
  return any("id", [&](const auto& value) { return node.id().starts_with(value); }) &&
         any("name",
             [&](const auto& value) {
               return description.hostname().starts_with(value) ||
                      (!node.spec().name().empty() && node.spec().name().starts_with(value));
             }) &&
         any("label",
             [&](const auto& value) {
               return label_matches(description.engine().labels(), value);
             }) &&
         any("node.label",
             [&](const auto& value) { return label_matches(node.spec().labels(), value); }) &&
         any("role", [&](const auto& value) { return (value == "manager") == manager; }) &&
         any("membership", [&](const auto& value) { return value == "accepted"; });
}

}  // namespace skep::control
