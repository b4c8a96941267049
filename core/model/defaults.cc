#include "core/model/defaults.h"

namespace skep::model {

namespace {
v1::UpdateConfig default_update() {
  v1::UpdateConfig config;
  config.set_parallelism(kUpdateParallelism);
  return config;
}
}  // namespace

Duration restart_delay(const v1::RestartPolicy& policy) {
  return policy.has_delay() ? Duration(policy.delay()) : kRestartDelay;
}

Duration stop_grace(const v1::ContainerSpec& spec) {
  return spec.stop_grace() > 0 ? Duration(spec.stop_grace()) : kStopGrace;
}

Duration update_monitor(const v1::UpdateConfig& config) {
  const Duration monitor = config.monitor() > 0 ? Duration(config.monitor()) : kUpdateMonitor;
  return monitor;
}

v1::UpdateConfig effective_update(const v1::ServiceSpec& spec) {
  return spec.has_update() ? spec.update() : default_update();
}

v1::UpdateConfig effective_rollback(const v1::ServiceSpec& spec) {
  return spec.has_rollback() ? spec.rollback() : default_update();
}

std::int64_t task_history_limit(const v1::ClusterSpec* cluster) {
  return cluster == nullptr ? kTaskHistoryLimit : cluster->task_history_limit();
}

std::string_view runtime_driver(const v1::TaskSpec& spec) {
  return spec.runtime().empty() ? kRuntimeDriver : std::string_view(spec.runtime());
}

}  // namespace skep::model
