#include <fmt/format.h>

#include "core/agentctl/output/pretty.h"
#include "core/model/units.h"

namespace skep::ctl {
namespace {

std::string yes(bool value) {
  return value ? "true" : "false";
}

void add_cluster(std::string& out, const agent::v1::InfoResponse& info) {
  const auto& cluster = info.cluster();
  const auto& spec = cluster.spec();
  const auto duration = [](std::int64_t time) { return model::print_duration(Duration(time)); };
  out += fmt::format("  ClusterID: {}\n  Managers: {}\n  Nodes: {}\n", cluster.id(),
                     info.managers(), info.nodes());
  std::string pools;
  for (const std::string& pool : cluster.default_address_pool()) {
    pools += (pools.empty() ? "" : "  ") + pool;
  }
  out += fmt::format("  Default Address Pool: {}\n  SubnetSize: {}\n  Data Path Port: {}\n", pools,
                     cluster.subnet_size(), cluster.data_path_port());
  out += fmt::format("  Orchestration:\n   Task History Retention Limit: {}\n",
                     spec.task_history_limit());
  out += fmt::format("  Raft:\n   Snapshot Interval: {}\n   Number of Old Snapshots to Retain: {}\n",
                     spec.snapshot_interval(), spec.snapshots_kept());
  out += fmt::format("  Dispatcher:\n   Heartbeat Period: {}\n", duration(spec.heartbeat_period()));
  out += fmt::format("  CA Configuration:\n   Expiry Duration: {}\n",
                     duration(spec.certificate_expiry()));
  out += spec.external_cas().empty() ? "" : "   External CAs:\n";
  for (const auto& authority : spec.external_cas()) {
    out += fmt::format("     {}: {}\n", authority.protocol(), authority.url());
  }
  out += fmt::format("  Autolock Managers: {}\n", yes(spec.autolock()));
}

}  // namespace

std::string pretty_info(const agent::v1::InfoResponse& info) {
  const auto& from = info.description();
  std::string out = fmt::format("Skep Agent:\n Version: {}\n Root: {}\n Pid: {}\n", info.version(),
                                info.root(), info.pid());
  out += fmt::format(" Containers: {}\n  Running: {}\n  Stopped: {}\n Images: {}\n",
                     info.containers_running() + info.containers_stopped(),
                     info.containers_running(), info.containers_stopped(), info.images());
  out += " Drivers:\n";
  for (const std::string& driver : from.engine().drivers()) {
    out += fmt::format("  {}\n", driver);
  }
  out +=
      fmt::format(" Default Runtime: {}\n Swarm: {}\n", info.default_runtime(), info.swarm_state());
  if (!info.node_id().empty()) {
    out += fmt::format("  NodeID: {}\n", info.node_id());
    out += info.error().empty() ? "" : fmt::format("  Error: {}\n", info.error());
    out += fmt::format("  Is Manager: {}\n", yes(info.manager()));
    if (info.manager() && info.has_cluster()) {
      add_cluster(out, info);
    }
    out += fmt::format("  Node Address: {}\n", info.node_address());
    out += info.manager_addresses().empty() ? "" : "  Manager Addresses:\n";
    for (const std::string& address : info.manager_addresses()) {
      const std::size_t equals = address.find('=');
      out += fmt::format("   {}\n",
                         equals == std::string::npos ? address : address.substr(equals + 1));
    }
  } else if (!info.error().empty()) {
    out += fmt::format("  Error: {}\n", info.error());
  }
  out += fmt::format(" Kernel Version: {}\n Operating System: {}\n OSType: {}\n Architecture: {}\n",
                     info.kernel(), info.operating_system(), from.platform().os(),
                     from.platform().architecture());
  out += fmt::format(" CPUs: {}\n Total Memory: {}\n Name: {}\n ID: {}\n Cgroup Version: {}\n",
                     model::print_cpus(from.resources().nano_cpus()),
                     model::print_bytes(from.resources().memory_bytes()), from.hostname(),
                     info.installation_id(), info.cgroup_version());
  if (!from.engine().labels().empty()) {
    out += " Labels:\n";
    for (const auto& [key, value] : from.engine().labels()) {
      out += fmt::format("  {}={}\n", key, value);
    }
  }
  return out;
}

}  // namespace skep::ctl
