// Records on disk, and putting kernel and records right after a restart.
#include <algorithm>

#include "plugins/lib/hash.h"
#include "plugins/network/bridge/bridge_driver.h"
#include "skep/log.h"

namespace skep::bridge {

Status BridgeDriver::save_network(const Network& network) {
  network::v1::CreateNetworkRequest record;
  record.set_network_id(network.id);
  record.add_subnets(to_text(network.subnet));
  return disk_->write_file_atomic(networks_dir_ + "/" + lib::short_hash(network.id, 24),
                                  record.SerializeAsString(), 0600);
}

Status BridgeDriver::save_endpoint(const Endpoint& endpoint) {
  return disk_->write_file_atomic(record_path({endpoint.network_id(), endpoint.endpoint_id()}),
                                  endpoint.SerializeAsString(), 0600);
}

Status BridgeDriver::forget_endpoint(const Key& key) {
  const auto it = endpoints_.find(key);
  const Endpoint gone = it->second;
  endpoints_.erase(it);
  if (!gone.ports().empty()) {
    SKEP_TRY(program_rules());
    release_ports(gone);
  }
  auto status = disk_->remove(record_path(key));
  return status || status.error().code == Code::kNotFound ? ok() : status;
}

Status BridgeDriver::load() {
  SKEP_TRY_ASSIGN(const auto networks, disk_->list_directory(networks_dir_));
  for (const std::string& name : networks) {
    SKEP_TRY_ASSIGN(const std::string content, disk_->read_file(networks_dir_ + "/" + name));
    network::v1::CreateNetworkRequest record;
    if (!record.ParseFromString(content) || record.subnets_size() == 0) {
      SKEP_WARN("damaged network record dropped; recover() removes what it named", {"file", name});
      continue;
    }
    SKEP_TRY_ASSIGN(const Subnet subnet, parse_subnet(record.subnets(0)));
    networks_[record.network_id()] = {record.network_id(), subnet, 0};
  }
  SKEP_TRY_ASSIGN(const auto endpoints, disk_->list_directory(endpoints_dir_));
  for (const std::string& name : endpoints) {
    SKEP_TRY_ASSIGN(const std::string content, disk_->read_file(endpoints_dir_ + "/" + name));
    Endpoint endpoint;
    if (!endpoint.ParseFromString(content) || endpoint.addresses_size() == 0 ||
        !networks_.contains(endpoint.network_id())) {
      SKEP_WARN("damaged endpoint record dropped; recover() removes what it named", {"file", name});
      continue;
    }
    endpoints_[{endpoint.network_id(), endpoint.endpoint_id()}] = endpoint;
    for (const auto& port : endpoint.ports()) {
      if (auto status = kernel_.reserve_port(port.protocol(), port.published_port()); !status) {
        SKEP_WARN("published port not reserved again", {"endpoint", endpoint.endpoint_id()},
                  {"cause", status.error().message});
      }
    }
  }
  return ok();
}

Status BridgeDriver::recover(const network::v1::RecoverRequest& request) {
  const std::set<std::string> used_endpoints(request.endpoint_ids().begin(),
                                             request.endpoint_ids().end());
  std::set<Key> stale;
  for (const auto& [key, endpoint] : endpoints_) {
    if (!used_endpoints.contains(key.second)) {
      stale.insert(key);
    }
  }
  for (const Key& key : stale) {
    SKEP_TRY(kernel_.delete_link(host_interface(key)));
    SKEP_TRY(forget_endpoint(key));
  }
  // Networks nobody uses go with their bridge; the next task that needs one makes it again.
  const std::set<std::string> used_networks(request.network_ids().begin(), request.network_ids().end());
  std::vector<std::string> unused;
  for (const auto& [id, network] : networks_) {
    const bool has_endpoint = std::any_of(endpoints_.begin(), endpoints_.end(),
                                          [&](const auto& entry) { return entry.first.first == id; });
    if (!has_endpoint && !used_networks.contains(id)) {
      unused.push_back(id);
    }
  }
  for (const std::string& id : unused) {
    network::v1::DeleteNetworkRequest gone;
    gone.set_network_id(id);
    SKEP_TRY(delete_network(gone));
  }
  // What bears our tag and has no record any more: left by a crash between kernel and disk.
  std::set<std::string> known;
  for (const auto& [id, network] : networks_) {
    known.insert(bridge_name(id));
  }
  for (const auto& [key, endpoint] : endpoints_) {
    known.insert(host_interface(key));
  }
  SKEP_TRY_ASSIGN(const auto links, kernel_.links());
  for (const TaggedLink& link : links) {
    if (link.alias.starts_with(alias("")) && !known.contains(link.name)) {
      SKEP_INFO("stray interface removed", {"interface", link.name});
      SKEP_TRY(kernel_.delete_link(link.name));
    }
  }
  for (const auto& [id, network] : networks_) {
    SKEP_TRY(kernel_.ensure_bridge(
        bridge_name(id), alias("network " + id),
        to_text(network.subnet.gateway()) + "/" + std::to_string(network.subnet.bits)));
  }
  return program_rules();
}

}  // namespace skep::bridge
