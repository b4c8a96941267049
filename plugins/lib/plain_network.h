#pragma once

// The network driver that makes nothing: of it are the networks "host" (the node's own namespace)
// and "none" (a sandbox with loopback only).

#include "skep/network.h"

namespace skep::plain {

enum class Sandbox { kNode, kOwn };

class PlainNetworkDriver : public NetworkDriver {
 public:
  explicit PlainNetworkDriver(Sandbox sandbox) : sandbox_(sandbox) {}

  network::v1::CapabilitiesResponse capabilities() override {
    network::v1::CapabilitiesResponse response;
    response.set_scope("local");
    response.set_needs_sandbox(sandbox_ == Sandbox::kOwn);
    response.set_publishes_ports(sandbox_ == Sandbox::kNode);
    return response;
  }
  Result<network::v1::CreateNetworkResponse> create_network(
      const network::v1::CreateNetworkRequest&) override {
    return network::v1::CreateNetworkResponse{};
  }
  Status delete_network(const network::v1::DeleteNetworkRequest&) override { return ok(); }
  Result<network::v1::CreateEndpointResponse> create_endpoint(
      const network::v1::CreateEndpointRequest&) override {
    return network::v1::CreateEndpointResponse{};
  }
  Result<network::v1::JoinResponse> join(const network::v1::JoinRequest&) override {
    return network::v1::JoinResponse{};
  }
  Status leave(const network::v1::LeaveRequest&) override { return ok(); }
  Status delete_endpoint(const network::v1::DeleteEndpointRequest&) override { return ok(); }
  /// On the node's own network a port is published by listening on it; nothing is translated.
  Result<network::v1::PublishResponse> publish(const network::v1::PublishRequest& request) override {
    if (sandbox_ == Sandbox::kOwn && !request.ports().empty()) {
      return Error{Code::kInvalidArgument,
                   "network 'none' cannot publish ports: leave out --publish or --network none",
                   "CANNOT_PUBLISH"};
    }
    network::v1::PublishResponse response;
    *response.mutable_ports() = request.ports();
    for (auto& port : *response.mutable_ports()) {
      port.set_published_port(port.target_port());
    }
    return response;
  }
  Status unpublish(const network::v1::UnpublishRequest&) override { return ok(); }
  Result<network::v1::ListResponse> list() override { return network::v1::ListResponse{}; }

 private:
  Sandbox sandbox_;
};

}  // namespace skep::plain
