#pragma once

// What every driver class shares. Each kind has its own header (volume.h, runtime.h, ...) with a
// class to derive from; SKEP_PLUGIN in plugin.h turns such a class into a plugin.

#include "skep/env.h"
#include "skep/plugin.pb.h"
#include "skep/result.h"
#include "skep/rpc.h"

namespace skep {

/// What a driver may use; valid from start() to the end of stop().
struct DriverContext {
  Env& env;
  rpc::Caller& core;  ///< calls to the core (target "core"); loop thread only
  const plugin::v1::StartRequest& start;
};

class Driver {
 public:
  virtual ~Driver() = default;
  /// [loop] Once, before any call. An error keeps the plugin out of service and is shown to people.
  virtual Status start(const DriverContext& context) {
    (void)context;
    return ok();
  }
  /// [loop] Ends what runs inside the plugin; containers, mounts and devices stay.
  virtual void stop() {}
  /// [loop] For `agentctl plugin inspect`.
  virtual plugin::v1::StatusResponse status() {
    plugin::v1::StatusResponse response;
    response.set_healthy(true);
    return response;
  }
};

}  // namespace skep
