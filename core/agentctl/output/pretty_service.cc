#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/agentctl/output/pretty.h"
#include "core/agentctl/shape/shape.h"
#include "core/agentctl/text.h"
#include "core/model/defaults.h"
#include "core/model/task_state.h"
#include "core/model/units.h"

namespace skep::ctl {
namespace {

using namespace model::v1;  // NOLINT(google-build-using-namespace): this file is about these
                            // messages

// "Name:\t\tweb": label, then the value; sections indent by one space.
void line(std::string& out, std::string_view indent, std::string_view label,
          const std::string& value) {
  if (!value.empty()) {
    out +=
        fmt::format("{}{:<{}} {}\n", indent, fmt::format("{}:", label), 16 - indent.size(), value);
  }
}

template <class Strings>
std::string joined(const Strings& items, std::string_view separator) {
  std::string text;
  for (const std::string& item : items) {
    text += (text.empty() ? "" : std::string(separator)) + item;
  }
  return text;
}

template <class ProtoMap>
void labels(std::string& out, std::string_view title, const ProtoMap& map) {
  if (map.empty()) {
    return;
  }
  out += fmt::format("{}:\n", title);
  for (const auto& [key, value] : std::map<std::string, std::string>(map.begin(), map.end())) {
    out += fmt::format(" {}={}\n", key, value);
  }
}

std::string ago(WallTime then, WallTime now) {
  std::string text = human_duration(Duration(now - then));
  text.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
  return text + " ago";
}

void update_status(std::string& out, const UpdateStatus& status, WallTime now) {
  if (status.state() == UpdateStatus::NONE) {
    return;
  }
  out += "UpdateStatus:\n";
  line(out, " ", "State", std::string(model::update_state_name(status.state())));
  line(out, " ", "Started", status.started_at() != 0 ? ago(status.started_at(), now) : "");
  line(out, " ", "Completed", status.completed_at() != 0 ? ago(status.completed_at(), now) : "");
  line(out, " ", "Message", status.message());
}

void update_config(std::string& out, std::string_view title, std::string_view verb,
                   const UpdateConfig& config) {
  out += fmt::format("{}:\n", title);
  line(out, " ", "Parallelism", std::to_string(config.parallelism()));
  line(out, " ", "Delay",
       config.delay() > 0 ? model::print_duration(Duration(config.delay())) : "");
  line(out, " ", "On failure", std::string(failure_action_name(config.failure_action())));
  line(out, " ", "Monitoring Period", model::print_duration(model::update_monitor(config)));
  line(out, " ", "Max failure ratio", fmt::format("{}", config.max_failure_ratio()));
  line(out, " ", fmt::format("{} order", verb), std::string(order_name(config.order())));
}

void placement(std::string& out, const Placement& wanted) {
  if (wanted.constraints().empty() && wanted.preferences().empty() &&
      wanted.max_replicas_per_node() == 0) {
    return;
  }
  out += "Placement:\n";
  line(out, " ", "Constraints", joined(wanted.constraints(), ", "));
  std::string preferences;
  for (const PlacementPreference& one : wanted.preferences()) {
    preferences += (preferences.empty() ? "spread=" : ", spread=") + one.spread_by();
  }
  line(out, " ", "Preferences", preferences);
  line(out, " ", "Max Replicas Per Node",
       wanted.max_replicas_per_node() > 0 ? std::to_string(wanted.max_replicas_per_node()) : "");
}

void mounts(std::string& out, const ContainerSpec& spec) {
  if (spec.mounts().empty()) {
    return;
  }
  out += "Mounts:\n";
  for (const Mount& mount : spec.mounts()) {
    line(out, " ", "Target", mount.target());
    line(out, "  ", "Source", mount.source());
    line(out, "  ", "ReadOnly", mount.read_only() ? "true" : "false");
    line(out, "  ", "Type", std::string(mount_type_name(mount.type())));
  }
}

// registry_auth and environment stay as they are given; credentials are never part of this.
void container(std::string& out, const ContainerSpec& spec) {
  out += "ContainerSpec:\n";
  line(out, " ", "Image", spec.image());
  line(out, " ", "Args", joined(spec.args(), " "));
  line(out, " ", "Env", joined(spec.env(), " "));
  line(out, " ", "Dir", spec.directory());
  line(out, " ", "Init", spec.init() ? "true" : "");
  line(out, " ", "User", spec.user());
  if (!spec.capability_add().empty() || !spec.capability_drop().empty()) {
    out += "Capabilities:\n";
    line(out, " ", "Add", joined(spec.capability_add(), ", "));
    line(out, " ", "Drop", joined(spec.capability_drop(), ", "));
  }
  labels(out, "SysCtls", spec.sysctls());
  if (!spec.ulimits().empty()) {
    out += "Ulimits:\n";
    for (const Ulimit& limit : spec.ulimits()) {
      line(out, " ", limit.name(), fmt::format("{}:{}", limit.soft(), limit.hard()));
    }
  }
  mounts(out, spec);
}

void resources(std::string& out, const ResourceRequirements& wanted) {
  const auto amounts = [&](std::string_view title, const Resources& part) {
    if (part.nano_cpus() == 0 && part.memory_bytes() == 0 && part.pids() == 0) {
      return;
    }
    out += fmt::format(" {}:\n", title);
    line(out, "  ", "CPU", part.nano_cpus() != 0 ? model::print_cpus(part.nano_cpus()) : "");
    line(out, "  ", "Memory",
         part.memory_bytes() != 0 ? model::print_bytes(part.memory_bytes()) : "");
    line(out, "  ", "PIDs", part.pids() != 0 ? std::to_string(part.pids()) : "");
  };
  out += "Resources:\n";
  amounts("Reservations", wanted.reservations());
  amounts("Limits", wanted.limits());
}

void endpoint(std::string& out, const Endpoint& point) {
  line(out, "", "Endpoint Mode", std::string(endpoint_mode_name(point.spec().mode())));
  if (!point.ports().empty()) {
    out += "Ports:\n";
    for (const PublishedPort& port : point.ports()) {
      line(out, " ", "PublishedPort",
           port.published_port() == 0 ? "chosen per task" : std::to_string(port.published_port()));
      line(out, "  ", "Protocol", std::string(port_protocol_name(port.protocol())));
      line(out, "  ", "TargetPort", std::to_string(port.target_port()));
      line(out, "  ", "PublishMode", std::string(port_mode_name(port.mode())));
    }
  }
}

void health(std::string& out, const HealthCheck& check) {
  if (check.test().empty()) {
    return;
  }
  const auto time = [](std::int64_t value) {
    return value > 0 ? model::print_duration(Duration(value)) : "";
  };
  out += "Healthcheck:\n";
  line(out, " ", "Test", joined(check.test(), " "));
  line(out, " ", "Interval", time(check.interval()));
  line(out, " ", "Retries", check.retries() > 0 ? std::to_string(check.retries()) : "");
  line(out, " ", "StartPeriod", time(check.start_period()));
  line(out, " ", "Timeout", time(check.timeout()));
}

}  // namespace

std::string pretty_service(const Service& service, WallTime now) {
  const ServiceSpec& spec = service.spec();
  std::string out = "\n";
  line(out, "", "ID", service.id());
  line(out, "", "Name", spec.name());
  labels(out, "Labels", spec.labels());
  std::string mode(service_mode_name(spec));
  mode.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(mode.front())));
  line(out, "", "Service Mode", mode);
  if (spec.has_replicated()) {
    line(out, " ", "Replicas", std::to_string(spec.replicated().replicas()));
  } else if (spec.has_replicated_job()) {
    line(out, " ", "Completions", std::to_string(spec.replicated_job().total_completions()));
    line(out, " ", "Max Concurrent", std::to_string(spec.replicated_job().max_concurrent()));
  }
  update_status(out, service.update_status(), now);
  placement(out, spec.task().placement());
  update_config(out, "UpdateConfig", "Update", model::effective_update(spec));
  update_config(out, "RollbackConfig", "Rollback", model::effective_rollback(spec));
  container(out, spec.task().container());
  if (spec.task().has_log_driver()) {
    out += "Log Driver:\n";
    line(out, " ", "Name", spec.task().log_driver().name());
  }
  resources(out, spec.task().resources());
  std::string networks;
  for (const NetworkAttachmentSpec& network : spec.task().networks()) {
    networks += (networks.empty() ? "" : " ") + network.target();
  }
  line(out, "", "Networks", networks);
  endpoint(out, service.endpoint());
  health(out, spec.task().container().health_check());
  return out;
}

}  // namespace skep::ctl
