#pragma once

// volume/1. Derive from VolumeDriver, keep your own table of volumes, and be ready for repeats:
// the node resends calls after a reconnect, and calls recover() after a crash. Calls come one at a
// time, on a worker thread, so a slow mount never delays the plugin's heartbeat.

#include "skep/driver.h"
#include "skep/volume.methods.h"

namespace skep {

class VolumeDriver : public virtual Driver {
 public:
  /// "local": a volume exists on one node only. "global": the same name is the same data everywhere.
  virtual volume::v1::CapabilitiesResponse capabilities() {
    volume::v1::CapabilitiesResponse response;
    response.set_scope("local");
    return response;
  }
  /// The same name with the same options is the same volume; with others kAlreadyExists.
  virtual Result<volume::v1::Volume> create(const volume::v1::CreateRequest& request) = 0;
  /// Removing what is not there is success. kFailedPrecondition while a mount id holds it.
  virtual Status remove(const volume::v1::RemoveRequest& request) = 0;
  /// Returns the directory. One reference per mount id.
  virtual Result<std::string> mount(const volume::v1::MountRequest& request) = 0;
  /// Drops the reference; the last one may unmount. Unknown ids are success.
  virtual Status unmount(const volume::v1::UnmountRequest& request) = 0;
  /// kNotFound when there is no such volume.
  virtual Result<volume::v1::Volume> get(const std::string& name) = 0;
  virtual Result<std::vector<volume::v1::Volume>> list() = 0;
  /// After a start: `mounts` are in use; drop every other reference and stale mount.
  virtual Status recover(const volume::v1::RecoverRequest& request) {
    (void)request;
    return ok();
  }
};

/// Serves `driver` through `table`; the driver runs on one worker at a time.
void bind_driver(rpc::MethodTable& table, VolumeDriver& driver, Env& env);

}  // namespace skep
