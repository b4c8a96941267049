#include "core/agentctl/shape/shape.h"
#include "core/agentctl/text.h"
#include "core/model/defaults.h"
#include "core/model/task_state.h"

namespace skep::ctl {
namespace {

using namespace model::v1;  // NOLINT(google-build-using-namespace): this file is about these
                            // messages

Value mount_shape(const Mount& mount) {
  Value shape = Value::object();
  shape.set("Type", mount_type_name(mount.type()));
  shape.set_given("Source", mount.source())
      .set("Target", mount.target())
      .set_given("ReadOnly", mount.read_only());
  if (mount.type() == Mount::BIND) {
    Value bind = Value::object();
    bind.set_given("Propagation", mount.propagation())
        .set_given("NonRecursive", mount.bind_nonrecursive());
    shape.set_given("BindOptions", bind.set_given("CreateMountpoint", mount.bind_create_source()));
  } else if (mount.type() == Mount::VOLUME) {
    Value volume = Value::object();
    volume.set_given("NoCopy", mount.volume_no_copy())
        .set_given("Labels", map_shape(mount.volume_labels()));
    volume.set_given("Subpath", mount.volume_subpath());
    if (!mount.volume_driver().empty() || !mount.volume_options().empty()) {
      Value driver = Value::object();
      driver.set_given("Name", mount.volume_driver())
          .set_given("Options", map_shape(mount.volume_options()));
      volume.set("DriverConfig", driver);
    }
    shape.set_given("VolumeOptions", volume);
  } else {
    Value tmpfs = Value::object();
    shape.set_given("TmpfsOptions", tmpfs.set_given("SizeBytes", mount.tmpfs_size_bytes())
                                        .set_given("Mode", mount.tmpfs_mode()));
  }
  return shape;
}

Value health_shape(const HealthCheck& check) {
  Value shape = Value::object();
  shape.set_given("Test", strings_shape(check.test())).set_given("Interval", check.interval());
  shape.set_given("Timeout", check.timeout()).set_given("StartPeriod", check.start_period());
  return shape.set_given("StartInterval", check.start_interval())
      .set_given("Retries", check.retries());
}

Value file_references_shape(const google::protobuf::RepeatedPtrField<FileReference>& files,
                            std::string_view noun) {
  Value list = Value::list();
  for (const FileReference& file : files) {
    Value target = Value::object();
    target.set("Name", file.target())
        .set("UID", file.uid())
        .set("GID", file.gid())
        .set("Mode", file.mode());
    Value shape = Value::object();
    shape.set("File", target)
        .set(std::string(noun) + "ID", file.id())
        .set(std::string(noun) + "Name", file.name());
    list.add(shape);
  }
  return list;
}

Value dns_shape(const ContainerSpec& spec) {
  Value shape = Value::object();
  shape.set_given("Nameservers", strings_shape(spec.dns_servers()));
  return shape.set_given("Search", strings_shape(spec.dns_search()))
      .set_given("Options", strings_shape(spec.dns_options()));
}

// registry_auth stays out: credentials are never printed.
Value container_spec_shape(const ContainerSpec& spec) {
  Value shape = Value::object();
  shape.set("Image", spec.image());
  shape.set_given("Labels", map_shape(spec.labels()))
      .set_given("Command", strings_shape(spec.command()));
  shape.set_given("Args", strings_shape(spec.args())).set_given("Hostname", spec.hostname());
  shape.set_given("Env", strings_shape(spec.env()))
      .set_given("Dir", spec.directory())
      .set_given("User", spec.user());
  shape.set_given("Groups", strings_shape(spec.groups()))
      .set_given("StopSignal", spec.stop_signal());
  shape.set_given("TTY", spec.tty())
      .set_given("OpenStdin", spec.open_stdin())
      .set_given("ReadOnly", spec.read_only());
  Value mounts = Value::list();
  for (const Mount& mount : spec.mounts()) {
    mounts.add(mount_shape(mount));
  }
  shape.set_given("Mounts", mounts).set("StopGracePeriod", model::stop_grace(spec).count());
  shape.set_given("Healthcheck", health_shape(spec.health_check()))
      .set_given("Hosts", strings_shape(spec.hosts()));
  shape.set("DNSConfig", dns_shape(spec));
  shape.set_given("Secrets", file_references_shape(spec.secrets(), "Secret"));
  shape.set_given("Configs", file_references_shape(spec.configs(), "Config"));
  shape.set("Isolation", "default")
      .set_given("Init", spec.init())
      .set_given("Sysctls", map_shape(spec.sysctls()));
  shape.set_given("CapabilityAdd", strings_shape(spec.capability_add()));
  shape.set_given("CapabilityDrop", strings_shape(spec.capability_drop()));
  Value ulimits = Value::list();
  for (const Ulimit& limit : spec.ulimits()) {
    ulimits.add(Value::object()
                    .set("Name", limit.name())
                    .set("Hard", limit.hard())
                    .set("Soft", limit.soft()));
  }
  return shape.set_given("Ulimits", ulimits).set_given("OomScoreAdj", spec.oom_score_adj());
}

Value resources_shape(const Resources& resources) {
  Value shape = Value::object();
  shape.set_given("NanoCPUs", resources.nano_cpus())
      .set_given("MemoryBytes", resources.memory_bytes());
  shape.set_given("Pids", resources.pids());
  Value generic = Value::list();
  for (const auto& [kind, value] : std::map<std::string, std::int64_t>(resources.generic().begin(),
                                                                       resources.generic().end())) {
    generic.add(Value::object().set("DiscreteResourceSpec",
                                    Value::object().set("Kind", kind).set("Value", value)));
  }
  return shape.set_given("GenericResources", generic);
}

Value placement_shape(const Placement& placement) {
  Value shape = Value::object();
  shape.set_given("Constraints", strings_shape(placement.constraints()));
  Value preferences = Value::list();
  for (const PlacementPreference& preference : placement.preferences()) {
    preferences.add(Value::object().set(
        "Spread", Value::object().set("SpreadDescriptor", preference.spread_by())));
  }
  shape.set_given("Preferences", preferences)
      .set_given("MaxReplicas", placement.max_replicas_per_node());
  Value platforms = Value::list();
  for (const Platform& platform : placement.platforms()) {
    Value one = Value::object();
    platforms.add(
        one.set_given("Architecture", platform.architecture()).set_given("OS", platform.os()));
  }
  return shape.set_given("Platforms", platforms);
}

Value update_config_shape(const UpdateConfig& config) {
  Value shape = Value::object();
  shape.set("Parallelism", config.parallelism()).set_given("Delay", config.delay());
  shape.set("FailureAction", failure_action_name(config.failure_action()));
  shape.set("Monitor", model::update_monitor(config).count());
  return shape.set("MaxFailureRatio", static_cast<double>(config.max_failure_ratio()))
      .set("Order", order_name(config.order()));
}

Value mode_shape(const ServiceSpec& spec) {
  Value shape = Value::object();
  switch (spec.mode_case()) {
    case ServiceSpec::kGlobal:
      return shape.set("Global", Value::object());
    case ServiceSpec::kGlobalJob:
      return shape.set("GlobalJob", Value::object());
    case ServiceSpec::kReplicatedJob:
      return shape.set("ReplicatedJob",
                       Value::object()
                           .set("MaxConcurrent", spec.replicated_job().max_concurrent())
                           .set("TotalCompletions", spec.replicated_job().total_completions()));
    case ServiceSpec::kReplicated:
    case ServiceSpec::MODE_NOT_SET:
      return shape.set("Replicated", Value::object().set("Replicas", spec.replicated().replicas()));
  }
  return shape;
}

Value endpoint_spec_shape(const EndpointSpec& spec) {
  return Value::object()
      .set("Mode", endpoint_mode_name(spec.mode()))
      .set_given("Ports", ports_shape(spec.ports()));
}

}  // namespace

Value task_spec_shape(const TaskSpec& spec) {
  Value shape = Value::object();
  shape.set("ContainerSpec", container_spec_shape(spec.container()));
  Value resources = Value::object();
  resources.set_given("Limits", resources_shape(spec.resources().limits()));
  resources.set_given("Reservations", resources_shape(spec.resources().reservations()));
  shape.set("Resources", resources);
  Value restart = Value::object();
  restart.set("Condition", restart_condition_name(spec.restart().condition()));
  restart.set("Delay", model::restart_delay(spec.restart()).count())
      .set("MaxAttempts", spec.restart().attempts_max());
  shape.set("RestartPolicy", restart.set_given("Window", spec.restart().window()));
  shape.set("Placement", placement_shape(spec.placement()));
  Value networks = Value::list();
  for (const NetworkAttachmentSpec& network : spec.networks()) {
    Value one = Value::object();
    one.set("Target", network.target()).set_given("Aliases", strings_shape(network.aliases()));
    networks.add(one.set_given("DriverOpts", map_shape(network.driver_options())));
  }
  shape.set_given("Networks", networks);
  if (spec.has_log_driver()) {
    Value driver = Value::object();
    shape.set("LogDriver", driver.set("Name", spec.log_driver().name())
                               .set_given("Options", map_shape(spec.log_driver().options())));
  }
  return shape.set("ForceUpdate", spec.force_update())
      .set("Runtime",
           spec.runtime().empty() || spec.runtime() == "oci" ? "container" : spec.runtime());
}

Value service_spec_shape(const ServiceSpec& spec) {
  Value shape = Value::object();
  shape.set("Name", spec.name()).set("Labels", map_shape(spec.labels()));
  shape.set("TaskTemplate", task_spec_shape(spec.task())).set("Mode", mode_shape(spec));
  shape.set("UpdateConfig", update_config_shape(model::effective_update(spec)));
  shape.set("RollbackConfig", update_config_shape(model::effective_rollback(spec)));
  return shape.set("EndpointSpec", endpoint_spec_shape(spec.endpoint()));
}

Value service_shape(const Service& service) {
  Value shape = Value::object();
  shape.set("ID", service.id());
  add_meta(shape, service.meta());
  shape.set("Spec", service_spec_shape(service.spec()));
  if (service.has_previous_spec()) {
    shape.set("PreviousSpec", service_spec_shape(service.previous_spec()));
  }
  Value endpoint = Value::object();
  endpoint.set("Spec", endpoint_spec_shape(service.endpoint().spec()));
  endpoint.set_given("Ports", ports_shape(service.endpoint().ports()));
  Value addresses = Value::list();
  for (const std::string& vip : service.endpoint().virtual_ips()) {
    const std::size_t equals = vip.find('=');
    addresses.add(Value::object()
                      .set("NetworkID", vip.substr(0, equals))
                      .set("Addr", equals == std::string::npos ? "" : vip.substr(equals + 1)));
  }
  shape.set("Endpoint", endpoint.set_given("VirtualIPs", addresses));
  if (service.update_status().state() != UpdateStatus::NONE) {
    const UpdateStatus& status = service.update_status();
    Value update = Value::object();
    update.set("State", model::update_state_name(status.state()))
        .set("StartedAt", print_time(status.started_at()));
    if (status.completed_at() != 0) {
      update.set("CompletedAt", print_time(status.completed_at()));
    }
    shape.set("UpdateStatus", update.set("Message", status.message()));
  }
  return shape;
}

}  // namespace skep::ctl
