#include "core/node/task_plan.h"

#include <algorithm>
#include <chrono>
#include <set>

namespace skep::node {
namespace {

using std::chrono::seconds;

std::int64_t or_default(std::int64_t value, std::int64_t fallback) {
  return value > 0 ? value : fallback;
}

constexpr std::int64_t nanoseconds_of(seconds value) { return Duration(value).count(); }

bool has_test(const model::v1::HealthCheck& check) { return check.test_size() > 0; }

Status check_target(const model::v1::Mount& mount) {
  if (mount.target().empty() || mount.target().front() != '/') {
    return Error{Code::kInvalidArgument,
                 "invalid mount config: mount target '" + mount.target() +
                     "' must be an absolute path inside the container",
                 "INVALID_MOUNT"};
  }
  const std::string& subpath = mount.volume_subpath();
  if (!subpath.empty() && (subpath.front() == '/' || ("/" + subpath + "/").find("/../") != std::string::npos)) {
    return Error{Code::kInvalidArgument,
                 "invalid mount config: volume subpath '" + subpath +
                     "' must be relative and stay inside the volume",
                 "INVALID_MOUNT"};
  }
  return ok();
}

v1::VolumeUse& add_volume(v1::TaskRecord& record, const model::v1::Mount& mount) {
  auto& use = *record.add_volumes();
  *use.mutable_mount() = mount;
  use.set_target(mount.target());
  if (mount.type() == model::v1::Mount::BIND) {
    use.set_name(mount.source());
    return use;
  }
  use.set_driver(mount.volume_driver().empty() ? "local" : mount.volume_driver());
  use.set_name(mount.source());
  if (mount.source().empty()) {
    // Fixed by the task, so that a repeat after a crash finds the same volume.
    use.set_name(record.container_id().substr(0, 32) + "-" + std::to_string(record.volumes_size()));
    use.set_anonymous(true);
  }
  return use;
}

Status plan_mounts(v1::TaskRecord& record, const runtime::v1::Image* image) {
  std::set<std::string> targets;
  for (const auto& mount : record.task().spec().container().mounts()) {
    SKEP_TRY(check_target(mount));
    if (!targets.insert(mount.target()).second) {
      return Error{Code::kInvalidArgument, "duplicate mount point: " + mount.target(),
                   "INVALID_MOUNT"};
    }
    if (mount.type() == model::v1::Mount::BIND &&
        (mount.source().empty() || mount.source().front() != '/')) {
      return Error{Code::kInvalidArgument,
                   "invalid mount config for type \"bind\": invalid mount path: '" +
                       mount.source() + "' mount path must be absolute",
                   "INVALID_MOUNT"};
    }
    if (mount.type() != model::v1::Mount::TMPFS) {
      add_volume(record, mount);
    }
  }
  if (image != nullptr) {
    for (const auto& target : image->volumes()) {
      if (targets.insert(target).second) {
        model::v1::Mount mount;
        mount.set_target(target);
        add_volume(record, mount);
      }
    }
  }
  return ok();
}

v1::EndpointUse& add_endpoint(v1::TaskRecord& record, const std::string& driver,
                              const std::string& network_id, const std::string& name) {
  auto& use = *record.add_endpoints();
  use.set_driver(driver);
  use.set_network_id(network_id);
  use.set_network_name(name);
  use.set_interface_name("eth" + std::to_string(record.endpoints_size() - 1));
  return use;
}

/// What the managers attached, or, for predefined networks they leave to the node, what was asked.
std::vector<model::v1::NetworkAttachment> attachments(const model::v1::Task& task) {
  std::vector<model::v1::NetworkAttachment> result(task.networks().begin(), task.networks().end());
  if (result.empty()) {
    for (const auto& asked : task.spec().networks()) {
      auto& attachment = result.emplace_back();
      attachment.set_network_id(asked.target());
      attachment.set_network_name(asked.target());
      attachment.set_driver(asked.target());
    }
  }
  return result;
}

void plan_endpoints(v1::TaskRecord& record, const NodeConfig& config) {
  record.set_needs_sandbox(true);
  bool gateway = false;
  bool isolated = false;
  for (const auto& attachment : attachments(record.task())) {
    if (attachment.driver() == "host") {
      record.set_needs_sandbox(false);
      record.clear_endpoints();
      return;
    }
    if (attachment.driver() == "none" || attachment.driver() == "null") {
      isolated = true;
      continue;
    }
    auto& use = add_endpoint(record, attachment.driver(), attachment.network_id(),
                             attachment.network_name());
    *use.mutable_addresses_wanted() = attachment.addresses();
    *use.mutable_options() = attachment.driver_options();
    if (!gateway && attachment.driver() == config.gateway_driver) {
      use.set_gateway(true);
      gateway = true;
    }
  }
  if (!gateway && !(isolated && record.endpoints_size() == 0)) {
    add_endpoint(record, config.gateway_driver, config.gateway_network, config.gateway_network)
        .set_gateway(true);
  }
}

}  // namespace

model::v1::HealthCheck effective_health_check(const model::v1::HealthCheck& asked,
                                              const model::v1::HealthCheck& of_image) {
  model::v1::HealthCheck check = of_image;
  if (has_test(asked)) {
    *check.mutable_test() = asked.test();
  }
  if (!has_test(check) || check.test(0) == "NONE" || check.test_size() < 2) {
    return {};
  }
  check.set_interval(
      or_default(asked.interval(), or_default(check.interval(), nanoseconds_of(seconds(30)))));
  check.set_timeout(
      or_default(asked.timeout(), or_default(check.timeout(), nanoseconds_of(seconds(30)))));
  check.set_start_period(or_default(asked.start_period(), check.start_period()));
  check.set_start_interval(or_default(
      asked.start_interval(), or_default(check.start_interval(), nanoseconds_of(seconds(5)))));
  if (asked.retries() > 0) {
    check.set_retries(asked.retries());
  } else if (check.retries() == 0) {
    check.set_retries(3);
  }
  return check;
}

Status plan_task(v1::TaskRecord& record, const runtime::v1::Image* image, const NodeConfig& config,
                 const NodeIdentity& node) {
  v1::TaskRecord planned = record;
  auto& spec = *planned.mutable_task()->mutable_spec()->mutable_container();
  SKEP_TRY(expand_spec(spec, template_values(planned.task(), node)));
  if (spec.secrets_size() > 0 || spec.configs_size() > 0) {
    return Error{Code::kUnimplemented,
                 "this agent cannot give secrets and configs to tasks yet: remove them from the "
                 "service, or put the task on a node with a newer agent",
                 "SECRETS_UNSUPPORTED"};
  }
  planned.clear_volumes();
  planned.clear_endpoints();
  SKEP_TRY(plan_mounts(planned, image));
  plan_endpoints(planned, config);
  *planned.mutable_health_check() = effective_health_check(
      spec.health_check(), image == nullptr ? model::v1::HealthCheck() : image->health_check());
  planned.set_stop_signal(!spec.stop_signal().empty() ? spec.stop_signal()
                          : image != nullptr          ? image->stop_signal()
                                                      : std::string());
  if (image != nullptr) {
    planned.set_image_id(image->id());
  }
  planned.set_hostname(!spec.hostname().empty()     ? spec.hostname()
                       : planned.needs_sandbox() ? planned.container_id().substr(0, 12)
                                                    : node.hostname);
  planned.set_planned(true);
  record = std::move(planned);
  return ok();
}

std::vector<model::v1::PublishedPort> host_ports(const v1::TaskRecord& record) {
  std::vector<model::v1::PublishedPort> ports;
  if (!record.needs_sandbox()) {
    return ports;  // the task listens on the node itself
  }
  std::copy_if(record.task().ports().begin(), record.task().ports().end(),
               std::back_inserter(ports),
               [](const auto& port) { return port.mode() == model::v1::PublishedPort::HOST; });
  return ports;
}

}  // namespace skep::node
