#pragma once

// network/1 in memory: networks, endpoints with addresses, published ports that can collide.

#include <map>
#include <set>
#include <string>
#include <utility>

#include "skep/network.h"
#include "skep/testing/fault_plan.h"

namespace skep::testing {

class FakeNetwork final : public NetworkDriver {
 public:
  using Key = std::pair<std::string, std::string>;  ///< {network id, endpoint id}
  struct Endpoint {
    std::string address;
    std::string sandbox;  ///< empty: not joined
    std::vector<model::v1::PublishedPort> ports;
  };

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

  /// create_network delete_network create_endpoint join leave delete_endpoint publish unpublish
  /// list recover
  FaultPlan faults;
  std::set<std::string> networks;
  std::map<Key, Endpoint> endpoints;

 private:
  bool port_taken(const model::v1::PublishedPort& port, const Key& by) const;

  std::uint32_t next_address_ = 2;
  std::uint32_t next_port_ = 30000;
};

}  // namespace skep::testing
