#pragma once

// discovery/1: who is out there. Calls come on the plugin's loop.

#include "skep/discovery.methods.h"
#include "skep/driver.h"

namespace skep {

class DiscoveryDriver : public virtual Driver {
 public:
  template <class T>
  using Reply = rpc::Reply<T>;

  /// Makes this node visible; it stays so until deregister() or `ttl` after the plugin died.
  virtual void register_self(const discovery::v1::RegisterRequest& request,
                             Reply<discovery::v1::RegisterResponse> reply) = 0;
  virtual void deregister(Reply<discovery::v1::DeregisterResponse> reply) = 0;
  virtual void list(Reply<discovery::v1::ListResponse> reply) = 0;
  /// First every present peer as "joined", then changes.
  virtual void watch(const discovery::v1::WatchRequest& request,
                     rpc::TypedServerStream<discovery::v1::methods::Watch> stream) = 0;
};

void bind_driver(rpc::MethodTable& table, DiscoveryDriver& driver, Env& env);

}  // namespace skep
