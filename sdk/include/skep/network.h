#pragma once

// network/1. A network driver puts endpoints into sandboxes (network namespaces, given by path) and
// publishes host ports. Calls come one at a time, on a worker thread; each is idempotent, and the
// sandbox may be gone by the time leave() is called.

#include "skep/driver.h"
#include "skep/network.methods.h"

namespace skep {

class NetworkDriver : public virtual Driver {
 public:
  virtual network::v1::CapabilitiesResponse capabilities() = 0;
  virtual Result<network::v1::CreateNetworkResponse> create_network(
      const network::v1::CreateNetworkRequest& request) = 0;
  virtual Status delete_network(const network::v1::DeleteNetworkRequest& request) = 0;
  virtual Result<network::v1::CreateEndpointResponse> create_endpoint(
      const network::v1::CreateEndpointRequest& request) = 0;
  virtual Result<network::v1::JoinResponse> join(const network::v1::JoinRequest& request) = 0;
  virtual Status leave(const network::v1::LeaveRequest& request) = 0;
  virtual Status delete_endpoint(const network::v1::DeleteEndpointRequest& request) = 0;
  /// kUnimplemented unless the driver publishes ports.
  virtual Result<network::v1::PublishResponse> publish(const network::v1::PublishRequest& request);
  virtual Status unpublish(const network::v1::UnpublishRequest& request);
  virtual Result<network::v1::ListResponse> list() = 0;
  virtual Status recover(const network::v1::RecoverRequest& request) {
    (void)request;
    return ok();
  }
};

void bind_driver(rpc::MethodTable& table, NetworkDriver& driver, Env& env);

}  // namespace skep
