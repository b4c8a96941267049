#pragma once

// volume/1 in memory. Volumes and mounts survive recover() and a new incarnation of the driver, as
// directories and kernel mounts do.

#include <map>
#include <set>
#include <string>
#include <utility>

#include "skep/testing/fault_plan.h"
#include "skep/volume.h"

namespace skep::testing {

class FakeVolume final : public VolumeDriver {
 public:
  Result<volume::v1::Volume> create(const volume::v1::CreateRequest& request) override;
  Status remove(const volume::v1::RemoveRequest& request) override;
  Result<std::string> mount(const volume::v1::MountRequest& request) override;
  Status unmount(const volume::v1::UnmountRequest& request) override;
  Result<volume::v1::Volume> get(const std::string& name) override;
  Result<std::vector<volume::v1::Volume>> list() override;
  Status recover(const volume::v1::RecoverRequest& request) override;

  FaultPlan faults;  ///< create remove mount unmount recover
  std::map<std::string, volume::v1::Volume> volumes;
  std::set<std::pair<std::string, std::string>> mounts;  ///< {volume, mount id}

 private:
  volume::v1::Volume view(const volume::v1::Volume& volume) const;
};

}  // namespace skep::testing
