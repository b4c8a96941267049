#pragma once

// The network driver "bridge": a Linux bridge per network of this node, a veth pair per endpoint,
// masquerading for the way out, DNAT for published ports. `skep_gwbridge`, the way out of every
// sandbox, is one of its networks.
//
// Records: <run_dir>/networks/ID.pb and endpoints/ID.pb, written before the kernel is touched, so
// that whatever a crash leaves in the kernel has a record or our tag, and recover() removes it.

#include <map>
#include <set>

#include "plugins/network/bridge/linux_kernel.h"
#include "plugins/network/bridge/subnet_pool.h"
#include "skep/network.h"

namespace skep::bridge {

class BridgeDriver final : public NetworkDriver {
 public:
  BridgeDriver();
  /// For tests; the kernel must outlive the driver.
  explicit BridgeDriver(Kernel& kernel);

  Status start(const DriverContext& context) override;
  network::v1::CapabilitiesResponse capabilities() override;
  Result<network::v1::CreateNetworkResponse> create_network(
      const network::v1::CreateNetworkRequest& request) override;
  Status delete_network(const network::v1::DeleteNetworkRequest& request) override;
  Result<network::v1::CreateEndpointResponse> create_endpoint(
      const network::v1::CreateEndpointRequest& request) override;
  Result<network::v1::JoinResponse> join(const network::v1::JoinRequest& request) override;
  Status leave(const network::v1::LeaveRequest& request) override;
  Status delete_endpoint(const network::v1::DeleteEndpointRequest& request) override;
  Result<network::v1::PublishResponse> publish(const network::v1::PublishRequest& request) override;
  Status unpublish(const network::v1::UnpublishRequest& request) override;
  Result<network::v1::ListResponse> list() override;
  Status recover(const network::v1::RecoverRequest& request) override;

 private:
  using Key = std::pair<std::string, std::string>;  // network id, endpoint id
  using Endpoint = network::v1::EndpointInfo;
  struct Network {
    std::string id;
    Subnet subnet;
    std::uint32_t last_address = 0;
  };

  Status load();
  Status save_network(const Network& network);
  Status save_endpoint(const Endpoint& endpoint);
  Status forget_endpoint(const Key& key);
  Result<Endpoint*> find_endpoint(const std::string& network, const std::string& endpoint);
  Result<Subnet> pick_subnet(const network::v1::CreateNetworkRequest& request);
  Result<std::uint32_t> pick_port(const model::v1::PublishedPort& wanted,
                                  const std::set<std::pair<int, std::uint32_t>>& mine);
  Status program_rules();
  void release_ports(const Endpoint& endpoint);
  [[nodiscard]] std::string record_path(const Key& key) const;
  [[nodiscard]] std::string bridge_name(const std::string& network) const;
  [[nodiscard]] std::string host_interface(const Key& key) const;
  [[nodiscard]] std::string alias(const std::string& what) const;
  [[nodiscard]] std::string table() const;

  LinuxKernel linux_;
  Kernel& kernel_;
  Disk* disk_ = nullptr;
  std::string installation_;
  std::string networks_dir_;
  std::string endpoints_dir_;
  std::string configured_subnet_;
  std::map<std::string, Network> networks_;
  std::map<Key, Endpoint> endpoints_;
};

}  // namespace skep::bridge
