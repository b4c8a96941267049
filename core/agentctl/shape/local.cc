#include "core/agentctl/shape/shape.h"
#include "core/agentctl/text.h"

namespace skep::ctl {
namespace {

// {"80/tcp": {}}: Go's sets.
template <class Repeated>
Value set_shape(const Repeated& keys) {
  Value shape = Value::object();
  for (const std::string& key : keys) {
    shape.set(key, Value::object());
  }
  return shape;
}

}  // namespace

Value image_shape(const runtime::v1::Image& image) {
  Value config = Value::object();
  config.set("User", image.user()).set_given("ExposedPorts", set_shape(image.exposed_ports()));
  config.set("Env", strings_shape(image.env())).set("Cmd", strings_shape(image.command()));
  if (image.has_health_check()) {
    config.set("Healthcheck", Value::object()
                                  .set("Test", strings_shape(image.health_check().test()))
                                  .set("Interval", image.health_check().interval())
                                  .set("Timeout", image.health_check().timeout())
                                  .set("StartPeriod", image.health_check().start_period())
                                  .set("Retries", image.health_check().retries()));
  }
  config.set_given("Volumes", set_shape(image.volumes())).set("WorkingDir", image.directory());
  config.set("Entrypoint", strings_shape(image.entrypoint()))
      .set("Labels", map_shape(image.labels()));
  config.set_given("StopSignal", image.stop_signal());
  Value shape = Value::object();
  shape.set("Id", image.id()).set("RepoTags", strings_shape(image.tags()));
  shape.set("RepoDigests", strings_shape(image.digests()))
      .set("Created", print_time(image.created_at()));
  shape.set("Config", config).set("Architecture", image.architecture()).set("Os", image.os());
  shape.set("Size", image.size_bytes());
  return shape.set(
      "RootFS", Value::object().set("Type", "layers").set("Layers", strings_shape(image.layers())));
}

Value container_shape(const runtime::v1::ContainerInfo& container) {
  const bool running = container.state() == runtime::v1::CONTAINER_STATE_RUNNING;
  const bool created = container.state() == runtime::v1::CONTAINER_STATE_CREATED;
  Value state = Value::object();
  state.set("Status", running ? "running" : created ? "created" : "exited").set("Running", running);
  state.set("OOMKilled", container.exit().oom_killed()).set("Pid", container.pid());
  state.set("ExitCode", container.exit().exit_code())
      .set("StartedAt", print_time(container.started_at()));
  state.set("FinishedAt", print_time(container.exit().finished_at()));
  Value shape = Value::object();
  shape.set("Id", container.container_id()).set("Created", print_time(container.created_at()));
  shape.set("State", state).set("Image", container.image_id()).set("Name", "/" + container.name());
  shape.set("Driver", container.runtime());
  return shape.set("Config", Value::object()
                                 .set("Image", container.image())
                                 .set("Cmd", strings_shape(container.command()))
                                 .set("Labels", map_shape(container.labels())));
}

Value volume_shape(const volume::v1::Volume& volume) {
  Value shape = Value::object();
  shape.set("CreatedAt", print_time(volume.created_at())).set("Driver", volume.driver());
  shape.set("Labels", map_shape(volume.labels()))
      .set("Mountpoint", volume.mountpoint())
      .set("Name", volume.name());
  shape.set("Options", map_shape(volume.options())).set("Scope", "local");
  return shape.set("UsageData", Value::object().set("RefCount", volume.mounts()));
}

Value plugin_shape(const plugin::v1::PluginInfo& plugin) {
  Value shape = Value::object();
  shape.set("Id", plugin.id()).set("Name", plugin.id()).set("Version", plugin.version());
  shape.set("Enabled", plugin.state() != "disabled")
      .set("State", plugin.state())
      .set("Reason", plugin.reason());
  shape.set("Placement", plugin.placement()).set("Drivers", strings_shape(plugin.drivers()));
  shape.set("Capabilities", strings_shape(plugin.capabilities())).set("Path", plugin.path());
  shape.set("Digest", plugin.digest()).set("Pid", plugin.pid()).set("Restarts", plugin.restarts());
  return shape.set("StartedAt", print_time(plugin.started_at())).set("Manifest", plugin.manifest());
}

namespace {
Value ca_config_shape(const model::v1::ClusterSpec& spec) {
  Value authorities = Value::list();
  for (const auto& authority : spec.external_cas()) {
    authorities.add(Value::object()
                        .set("Protocol", authority.protocol())
                        .set("URL", authority.url())
                        .set("Options", map_shape(authority.options()))
                        .set("CACert", authority.certificate()));
  }
  Value shape = Value::object().set("NodeCertExpiry", spec.certificate_expiry());
  return spec.external_cas().empty() ? shape : shape.set("ExternalCAs", authorities);
}

Value info_swarm_shape(const agent::v1::InfoResponse& info) {
  Value swarm = Value::object();
  swarm.set("NodeID", info.node_id()).set("NodeAddr", info.node_address());
  swarm.set("LocalNodeState", info.swarm_state())
      .set("ControlAvailable", info.manager())
      .set("Error", info.error());
  Value managers = Value::list();
  for (const std::string& address : info.manager_addresses()) {
    const std::size_t equals = address.find('=');
    managers.add(
        Value::object()
            .set("NodeID", equals == std::string::npos ? "" : address.substr(0, equals))
            .set("Addr", equals == std::string::npos ? address : address.substr(equals + 1)));
  }
  swarm.set("RemoteManagers", managers).set("Nodes", info.nodes()).set("Managers", info.managers());
  if (info.has_cluster()) {
    const auto& cluster = info.cluster();
    Value shape = Value::object();
    shape.set("ID", cluster.id());
    add_meta(shape, cluster.meta());
    Value spec = Value::object();
    spec.set("Name", cluster.spec().name()).set("Labels", map_shape(cluster.spec().labels()));
    spec.set("Orchestration",
             Value::object().set("TaskHistoryRetentionLimit", cluster.spec().task_history_limit()));
    spec.set("Raft", Value::object()
                         .set("SnapshotInterval", cluster.spec().snapshot_interval())
                         .set("KeepOldSnapshots", cluster.spec().snapshots_kept()));
    spec.set("Dispatcher",
             Value::object().set("HeartbeatPeriod", cluster.spec().heartbeat_period()));
    spec.set("CAConfig", ca_config_shape(cluster.spec()));
    spec.set("EncryptionConfig",
             Value::object().set("AutoLockManagers", cluster.spec().autolock()));
    shape.set("Spec", spec).set("DefaultAddrPool", strings_shape(cluster.default_address_pool()));
    shape.set("SubnetSize", cluster.subnet_size()).set("DataPathPort", cluster.data_path_port());
    swarm.set("Cluster", shape);
  }
  return swarm;
}
}  // namespace

Value info_shape(const agent::v1::InfoResponse& info) {
  Value shape = Value::object();
  shape.set("ID", info.installation_id()).set("Name", info.description().hostname());
  shape.set("ServerVersion", info.version()).set("Root", info.root()).set("Pid", info.pid());
  shape.set("ContainersRunning", info.containers_running())
      .set("ContainersStopped", info.containers_stopped());
  shape.set("Containers", info.containers_running() + info.containers_stopped())
      .set("Images", info.images());
  shape.set("DefaultRuntime", info.default_runtime()).set("KernelVersion", info.kernel());
  shape.set("OperatingSystem", info.operating_system()).set("CgroupVersion", info.cgroup_version());
  shape.set("OSType", info.description().platform().os());
  shape.set("Architecture", info.description().platform().architecture());
  shape.set("NCPU", info.description().resources().nano_cpus() / 1'000'000'000);
  shape.set("MemTotal", info.description().resources().memory_bytes());
  shape.set("Drivers", strings_shape(info.description().engine().drivers()));
  shape.set("Labels", map_shape(info.description().engine().labels()));
  return shape.set("Swarm", info_swarm_shape(info)).set("Warnings", strings_shape(info.warnings()));
}

}  // namespace skep::ctl
