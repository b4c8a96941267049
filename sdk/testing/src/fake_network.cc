#include "skep/testing/fake_network.h"

#include <algorithm>

namespace skep::testing {

network::v1::CapabilitiesResponse FakeNetwork::capabilities() {
  network::v1::CapabilitiesResponse response;
  response.set_scope("local");
  response.set_publishes_ports(true);
  response.set_needs_sandbox(true);
  return response;
}

Result<network::v1::CreateNetworkResponse> FakeNetwork::create_network(
    const network::v1::CreateNetworkRequest& request) {
  if (auto error = faults.take("create_network")) {
    return *error;
  }
  networks.insert(request.network_id());
  return network::v1::CreateNetworkResponse();
}

Status FakeNetwork::delete_network(const network::v1::DeleteNetworkRequest& request) {
  if (auto error = faults.take("delete_network")) {
    return *error;
  }
  networks.erase(request.network_id());
  return ok();
}

Result<network::v1::CreateEndpointResponse> FakeNetwork::create_endpoint(
    const network::v1::CreateEndpointRequest& request) {
  if (auto error = faults.take("create_endpoint")) {
    return *error;
  }
  if (!networks.contains(request.network_id())) {
    return Error{Code::kNotFound, "no such network: " + request.network_id()};
  }
  auto& endpoint = endpoints[{request.network_id(), request.endpoint_id()}];
  if (endpoint.address.empty()) {
    endpoint.address = request.addresses_size() > 0
                           ? request.addresses(0)
                           : "172.18.0." + std::to_string(next_address_++) + "/16";
  }
  network::v1::CreateEndpointResponse response;
  response.add_addresses(endpoint.address);
  return response;
}

Result<network::v1::JoinResponse> FakeNetwork::join(const network::v1::JoinRequest& request) {
  if (auto error = faults.take("join")) {
    return *error;
  }
  const auto it = endpoints.find({request.network_id(), request.endpoint_id()});
  if (it == endpoints.end()) {
    return Error{Code::kNotFound, "no such endpoint: " + request.endpoint_id()};
  }
  it->second.sandbox = request.sandbox();
  network::v1::JoinResponse response;
  response.set_interface_name(request.interface_name());
  return response;
}

Status FakeNetwork::leave(const network::v1::LeaveRequest& request) {
  if (auto error = faults.take("leave")) {
    return *error;
  }
  if (const auto it = endpoints.find({request.network_id(), request.endpoint_id()});
      it != endpoints.end()) {
    it->second.sandbox.clear();
  }
  return ok();
}

Status FakeNetwork::delete_endpoint(const network::v1::DeleteEndpointRequest& request) {
  if (auto error = faults.take("delete_endpoint")) {
    return *error;
  }
  endpoints.erase({request.network_id(), request.endpoint_id()});
  return ok();
}

bool FakeNetwork::port_taken(const model::v1::PublishedPort& port, const Key& by) const {
  return std::any_of(endpoints.begin(), endpoints.end(), [&](const auto& entry) {
    return entry.first != by &&
           std::any_of(entry.second.ports.begin(), entry.second.ports.end(), [&](const auto& p) {
             return p.published_port() == port.published_port() && p.protocol() == port.protocol();
           });
  });
}

Result<network::v1::PublishResponse> FakeNetwork::publish(
    const network::v1::PublishRequest& request) {
  if (auto error = faults.take("publish")) {
    return *error;
  }
  const Key key{request.network_id(), request.endpoint_id()};
  const auto it = endpoints.find(key);
  if (it == endpoints.end()) {
    return Error{Code::kNotFound, "no such endpoint: " + request.endpoint_id()};
  }
  std::vector<model::v1::PublishedPort> ports;
  for (auto port : request.ports()) {
    if (port.published_port() == 0) {
      const auto old = std::find_if(
          it->second.ports.begin(), it->second.ports.end(),
          [&](const auto& known) { return known.target_port() == port.target_port(); });
      port.set_published_port(old != it->second.ports.end() ? old->published_port() : next_port_++);
    }
    if (port_taken(port, key)) {
      return Error{Code::kUnavailable,
                   "port " + std::to_string(port.published_port()) + " is already in use",
                   "PORT_IN_USE"};
    }
    ports.push_back(port);
  }
  it->second.ports = ports;
  network::v1::PublishResponse response;
  response.mutable_ports()->Assign(ports.begin(), ports.end());
  return response;
}

Status FakeNetwork::unpublish(const network::v1::UnpublishRequest& request) {
  if (auto error = faults.take("unpublish")) {
    return *error;
  }
  if (const auto it = endpoints.find({request.network_id(), request.endpoint_id()});
      it != endpoints.end()) {
    it->second.ports.clear();
  }
  return ok();
}

Result<network::v1::ListResponse> FakeNetwork::list() {
  if (auto error = faults.take("list")) {
    return *error;
  }
  network::v1::ListResponse response;
  response.mutable_networks()->Assign(networks.begin(), networks.end());
  for (const auto& [key, endpoint] : endpoints) {
    auto& info = *response.add_endpoints();
    info.set_network_id(key.first);
    info.set_endpoint_id(key.second);
    info.add_addresses(endpoint.address);
    info.set_sandbox(endpoint.sandbox);
    info.mutable_ports()->Assign(endpoint.ports.begin(), endpoint.ports.end());
  }
  return response;
}

Status FakeNetwork::recover(const network::v1::RecoverRequest& request) {
  if (auto error = faults.take("recover")) {
    return *error;
  }
  const std::set<std::string> nets(request.network_ids().begin(), request.network_ids().end());
  const std::set<std::string> kept(request.endpoint_ids().begin(), request.endpoint_ids().end());
  std::erase_if(endpoints, [&](const auto& entry) { return !kept.contains(entry.first.second); });
  std::erase_if(networks, [&](const auto& id) { return !nets.contains(id); });
  return ok();
}

}  // namespace skep::testing
