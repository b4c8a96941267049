#pragma once

// The volume driver "local": directories of this node, or what type/o/device tell it to mount on
// one. A volume is <state_dir>/volumes/NAME: `volume.pb` (how it was made) and `_data` (the data).
// Which mount ids hold a volume is <run_dir>/mounts/NAME.pb and dies with the machine, as the
// mounts do.
//
// A mount goes: record the id, then mount unless mountinfo shows it. A crash between the two leaves
// an id without a mount, which the next mount or recover() completes or drops; never two mounts.

#include <functional>
#include <set>

#include "plugins/volume/local/mounter.h"
#include "skep/volume.h"

namespace skep::local {

/// Called at named points so that tests can stop the plugin there.
using PausePoint = std::function<void(const char* point)>;

class LocalVolumeDriver final : public VolumeDriver {
 public:
  LocalVolumeDriver();
  /// For tests. The mounter must outlive the driver.
  explicit LocalVolumeDriver(Mounter& mounter);

  Status start(const DriverContext& context) override;
  Result<volume::v1::Volume> create(const volume::v1::CreateRequest& request) override;
  Status remove(const volume::v1::RemoveRequest& request) override;
  Result<std::string> mount(const volume::v1::MountRequest& request) override;
  Status unmount(const volume::v1::UnmountRequest& request) override;
  Result<volume::v1::Volume> get(const std::string& name) override;
  Result<std::vector<volume::v1::Volume>> list() override;
  Status recover(const volume::v1::RecoverRequest& request) override;

 private:
  using Holders = std::set<std::string>;  // mount ids

  [[nodiscard]] std::string directory(const std::string& name) const;
  [[nodiscard]] std::string data_directory(const std::string& name) const;
  [[nodiscard]] std::string holders_path(const std::string& name) const;
  Result<volume::v1::Volume> load(const std::string& name);
  Result<Holders> load_holders(const std::string& name);
  Status save_holders(const std::string& name, const Holders& holders);
  /// Makes mountinfo agree with "somebody holds it" or "nobody does".
  Status settle(const volume::v1::Volume& volume, bool held);

  KernelMounter kernel_;
  Mounter& mounter_;
  Disk* disk_ = nullptr;
  Clock* clock_ = nullptr;
  std::string volumes_;
  std::string gone_;  // what remove() took out of sight and is still deleting
  std::string mounts_;
  PausePoint pause_ = [](const char*) {};
};

}  // namespace skep::local
