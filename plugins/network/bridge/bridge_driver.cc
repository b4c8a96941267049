#include "plugins/network/bridge/bridge_driver.h"

#include "plugins/lib/hash.h"
#include "skep/log.h"

namespace skep::bridge {

namespace {

// Docker's first dynamic host port is the first of Linux's ephemeral range.
constexpr std::uint32_t kFirstPort = 32768;
constexpr std::uint32_t kLastPort = 60999;

Error no_network(const std::string& id) {
  return Error{Code::kNotFound, "no bridge network '" + id + "' on this node", "NO_SUCH_NETWORK"};
}

}  // namespace

BridgeDriver::BridgeDriver() : kernel_(linux_) {}
BridgeDriver::BridgeDriver(Kernel& kernel) : kernel_(kernel) {}

Status BridgeDriver::start(const DriverContext& context) {
  disk_ = &context.env.disk;
  installation_ = context.start.installation_id();
  networks_dir_ = context.start.run_dir() + "/networks";
  endpoints_dir_ = context.start.run_dir() + "/endpoints";
  if (const auto it = context.start.config().find("subnet"); it != context.start.config().end()) {
    configured_subnet_ = it->second;
    if (!configured_subnet_.empty()) {
      SKEP_TRY(parse_subnet(configured_subnet_));
    }
  }
  SKEP_TRY(disk_->make_directories(networks_dir_, 0700));
  SKEP_TRY(disk_->make_directories(endpoints_dir_, 0700));
  return load();
}

network::v1::CapabilitiesResponse BridgeDriver::capabilities() {
  network::v1::CapabilitiesResponse response;
  response.set_scope("local");
  response.set_publishes_ports(true);
  response.set_needs_sandbox(true);
  return response;
}

std::string BridgeDriver::bridge_name(const std::string& network) const {
  return "skb" + lib::short_hash(installation_ + "/" + network, 12);
}
std::string BridgeDriver::host_interface(const Key& key) const {
  // One letter is left for the peer's temporary name: 15 are allowed.
  return "sv" + lib::short_hash(installation_ + "/" + key.first + "/" + key.second, 12);
}
std::string BridgeDriver::alias(const std::string& what) const {
  return "skep " + installation_ + " " + what;
}
std::string BridgeDriver::table() const {
  return "skep-bridge-" + lib::short_hash(installation_, 12);
}
std::string BridgeDriver::record_path(const Key& key) const {
  return endpoints_dir_ + "/" + lib::short_hash(key.first + "/" + key.second, 24);
}

Result<Subnet> BridgeDriver::pick_subnet(const network::v1::CreateNetworkRequest& request) {
  if (request.subnets_size() > 0) {
    return parse_subnet(request.subnets(0));
  }
  if (!configured_subnet_.empty() && networks_.empty()) {
    return parse_subnet(configured_subnet_);
  }
  SKEP_TRY_ASSIGN(const auto used_texts, kernel_.used_subnets());
  std::vector<Subnet> used;
  for (const std::string& text : used_texts) {
    if (auto subnet = parse_subnet(text)) {
      used.push_back(*subnet);
    }
  }
  for (const auto& [id, network] : networks_) {
    used.push_back(network.subnet);
  }
  return choose_subnet(used, lib::hash64(installation_ + "/" + request.network_id()));
}

Result<network::v1::CreateNetworkResponse> BridgeDriver::create_network(
    const network::v1::CreateNetworkRequest& request) {
  auto it = networks_.find(request.network_id());
  if (it == networks_.end()) {
    SKEP_TRY_ASSIGN(const Subnet subnet, pick_subnet(request));
    const Network network{request.network_id(), subnet, 0};
    SKEP_TRY(save_network(network));
    it = networks_.emplace(network.id, network).first;
  }
  const Subnet& subnet = it->second.subnet;
  SKEP_TRY(kernel_.ensure_bridge(bridge_name(request.network_id()),
                                 alias("network " + request.network_id()),
                                 to_text(subnet.gateway()) + "/" + std::to_string(subnet.bits)));
  SKEP_TRY(program_rules());
  network::v1::CreateNetworkResponse response;
  response.add_subnets(to_text(subnet));
  return response;
}

Status BridgeDriver::delete_network(const network::v1::DeleteNetworkRequest& request) {
  for (const auto& [key, endpoint] : endpoints_) {
    if (key.first == request.network_id()) {
      return Error{Code::kFailedPrecondition,
                   "network '" + request.network_id() + "' still has endpoint '" + key.second + "'",
                   "NETWORK_IN_USE"};
    }
  }
  SKEP_TRY(kernel_.delete_link(bridge_name(request.network_id())));
  if (networks_.erase(request.network_id()) > 0) {
    SKEP_TRY(program_rules());
    auto status = disk_->remove(networks_dir_ + "/" + lib::short_hash(request.network_id(), 24));
    if (!status && status.error().code != Code::kNotFound) {
      return status;
    }
  }
  return ok();
}

Result<network::v1::CreateEndpointResponse> BridgeDriver::create_endpoint(
    const network::v1::CreateEndpointRequest& request) {
  const auto network = networks_.find(request.network_id());
  if (network == networks_.end()) {
    return no_network(request.network_id());
  }
  const Key key{request.network_id(), request.endpoint_id()};
  auto it = endpoints_.find(key);
  if (it == endpoints_.end()) {
    std::set<std::uint32_t> taken;
    for (const auto& [other, endpoint] : endpoints_) {
      if (other.first == key.first) {
        SKEP_TRY_ASSIGN(const Subnet address, parse_subnet(endpoint.addresses(0).substr(
                                                  0, endpoint.addresses(0).find('/'))));
        taken.insert(address.base);
      }
    }
    const auto address = next_address(network->second.subnet, taken, network->second.last_address);
    if (!address) {
      return Error{Code::kResourceExhausted,
                   "network '" + key.first + "' has no free address left in " +
                       to_text(network->second.subnet),
                   "NO_FREE_ADDRESS"};
    }
    network->second.last_address = *address;
    Endpoint endpoint;
    endpoint.set_network_id(key.first);
    endpoint.set_endpoint_id(key.second);
    endpoint.add_addresses(to_text(*address) + "/" + std::to_string(network->second.subnet.bits));
    SKEP_TRY(save_endpoint(endpoint));
    it = endpoints_.emplace(key, std::move(endpoint)).first;
  }
  network::v1::CreateEndpointResponse response;
  response.add_addresses(it->second.addresses(0));
  SKEP_TRY_ASSIGN(const Subnet address, parse_subnet(it->second.addresses(0).substr(
                                            0, it->second.addresses(0).find('/'))));
  response.set_mac(mac_of(address.base));
  return response;
}

Result<BridgeDriver::Endpoint*> BridgeDriver::find_endpoint(const std::string& network,
                                                            const std::string& endpoint) {
  const auto it = endpoints_.find({network, endpoint});
  if (it == endpoints_.end()) {
    return Error{Code::kNotFound, "no endpoint '" + endpoint + "' on network '" + network + "'",
                 "NO_SUCH_ENDPOINT"};
  }
  return &it->second;
}

Result<network::v1::JoinResponse> BridgeDriver::join(const network::v1::JoinRequest& request) {
  SKEP_TRY_ASSIGN(Endpoint* endpoint, find_endpoint(request.network_id(), request.endpoint_id()));
  const Key key{request.network_id(), request.endpoint_id()};
  const Subnet& subnet = networks_.at(key.first).subnet;
  const std::string& cidr = endpoint->addresses(0);
  SKEP_TRY_ASSIGN(const Subnet address, parse_subnet(cidr.substr(0, cidr.find('/'))));
  network::v1::JoinResponse response;
  response.set_interface_name(request.interface_name().empty() ? "eth0" : request.interface_name());
  response.set_gateway(to_text(subnet.gateway()));
  endpoint->set_sandbox(request.sandbox());
  SKEP_TRY(save_endpoint(*endpoint));
  SKEP_TRY(kernel_.attach({.host_interface = host_interface(key),
                           .alias = alias("endpoint " + key.second),
                           .bridge = bridge_name(key.first),
                           .sandbox = request.sandbox(),
                           .interface_name = response.interface_name(),
                           .cidr = cidr,
                           .mac = mac_of(address.base),
                           .gateway = request.default_gateway() ? response.gateway() : ""}));
  return response;
}

Status BridgeDriver::leave(const network::v1::LeaveRequest& request) {
  const Key key{request.network_id(), request.endpoint_id()};
  // The peer goes with it, and both are gone already when the sandbox is.
  SKEP_TRY(kernel_.delete_link(host_interface(key)));
  if (const auto it = endpoints_.find(key); it != endpoints_.end() && !it->second.sandbox().empty()) {
    it->second.clear_sandbox();
    return save_endpoint(it->second);
  }
  return ok();
}

Status BridgeDriver::delete_endpoint(const network::v1::DeleteEndpointRequest& request) {
  const Key key{request.network_id(), request.endpoint_id()};
  if (!endpoints_.contains(key)) {
    return ok();
  }
  network::v1::LeaveRequest leaving;
  leaving.set_network_id(key.first);
  leaving.set_endpoint_id(key.second);
  SKEP_TRY(leave(leaving));
  return forget_endpoint(key);
}

Result<std::uint32_t> BridgeDriver::pick_port(const model::v1::PublishedPort& wanted,
                                              const std::set<std::pair<int, std::uint32_t>>& mine) {
  std::set<std::uint32_t> taken;
  for (const auto& [key, endpoint] : endpoints_) {
    for (const auto& port : endpoint.ports()) {
      if (port.protocol() == wanted.protocol()) {
        taken.insert(port.published_port());
      }
    }
  }
  const auto ours = [&](std::uint32_t port) {
    return mine.contains({static_cast<int>(wanted.protocol()), port});
  };
  if (wanted.published_port() != 0) {
    if (taken.contains(wanted.published_port()) || ours(wanted.published_port())) {
      return Error{Code::kFailedPrecondition,
                   "port " + std::to_string(wanted.published_port()) +
                       " is published by another task on this node",
                   "PORT_IN_USE"};
    }
    SKEP_TRY(kernel_.reserve_port(wanted.protocol(), wanted.published_port()));
    return wanted.published_port();
  }
  for (std::uint32_t port = kFirstPort; port <= kLastPort; ++port) {
    if (taken.contains(port) || ours(port)) {
      continue;
    }
    auto status = kernel_.reserve_port(wanted.protocol(), port);
    if (status) {
      return port;
    }
    if (status.error().reason != "PORT_IN_USE") {
      return std::move(status).error();
    }
  }
  return Error{Code::kResourceExhausted, "no port from 32768 to 60999 is free on this node",
               "NO_FREE_PORT"};
}

Result<network::v1::PublishResponse> BridgeDriver::publish(
    const network::v1::PublishRequest& request) {
  SKEP_TRY_ASSIGN(Endpoint* endpoint, find_endpoint(request.network_id(), request.endpoint_id()));
  // A repeat of the same request keeps the ports it chose the first time.
  const Endpoint before = *endpoint;
  endpoint->clear_ports();
  Endpoint updated = *endpoint;
  std::set<std::pair<int, std::uint32_t>> mine;
  for (int i = 0; i < request.ports_size(); ++i) {
    model::v1::PublishedPort port = request.ports(i);
    const bool repeat = i < before.ports_size() && before.ports(i).target_port() == port.target_port() &&
                        before.ports(i).protocol() == port.protocol();
    if (port.published_port() == 0 && repeat) {
      port.set_published_port(before.ports(i).published_port());
    }
    auto number = pick_port(port, mine);
    if (!number) {
      for (const auto& [protocol, taken] : mine) {
        kernel_.release_port(static_cast<model::v1::PublishedPort::Protocol>(protocol), taken);
      }
      *endpoint = before;
      return std::move(number).error();
    }
    port.set_published_port(*number);
    mine.insert({static_cast<int>(port.protocol()), *number});
    *updated.add_ports() = port;
  }
  *endpoint = updated;
  SKEP_TRY(save_endpoint(*endpoint));
  SKEP_TRY(program_rules());
  for (const auto& port : before.ports()) {
    if (!mine.contains({static_cast<int>(port.protocol()), port.published_port()})) {
      kernel_.release_port(port.protocol(), port.published_port());
    }
  }
  network::v1::PublishResponse response;
  *response.mutable_ports() = endpoint->ports();
  return response;
}

void BridgeDriver::release_ports(const Endpoint& endpoint) {
  for (const auto& port : endpoint.ports()) {
    kernel_.release_port(port.protocol(), port.published_port());
  }
}

Status BridgeDriver::unpublish(const network::v1::UnpublishRequest& request) {
  const auto it = endpoints_.find({request.network_id(), request.endpoint_id()});
  if (it == endpoints_.end() || it->second.ports().empty()) {
    return ok();
  }
  const Endpoint before = it->second;
  it->second.clear_ports();
  SKEP_TRY(program_rules());
  release_ports(before);
  return save_endpoint(it->second);
}

Status BridgeDriver::program_rules() {
  RuleSet rules;
  rules.table = table();
  for (const auto& [id, network] : networks_) {
    rules.bridges.push_back({bridge_name(id), to_text(network.subnet)});
  }
  for (const auto& [key, endpoint] : endpoints_) {
    const std::string address = endpoint.addresses(0).substr(0, endpoint.addresses(0).find('/'));
    for (const auto& port : endpoint.ports()) {
      rules.ports.push_back({port.protocol(), port.published_port(), address, port.target_port()});
    }
  }
  return networks_.empty() ? kernel_.delete_rules(rules.table) : kernel_.apply_rules(rules);
}

Result<network::v1::ListResponse> BridgeDriver::list() {
  network::v1::ListResponse response;
  for (const auto& [id, network] : networks_) {
    response.add_networks(id);
  }
  for (const auto& [key, endpoint] : endpoints_) {
    *response.add_endpoints() = endpoint;
  }
  return response;
}

}  // namespace skep::bridge
