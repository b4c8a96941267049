#pragma once

// The kernel's mounts, as the local driver needs them; tests and the simulator give a fake.

#include <set>
#include <string>

#include "plugins/volume/local/mount_options.h"
#include "skep/result.h"

namespace skep::local {

/// Worker threads only.
class Mounter {
 public:
  virtual ~Mounter() = default;
  virtual Status mount(const MountSpec& spec, const std::string& target) = 0;
  /// Detaches the topmost mount of `target`; nothing mounted there is success.
  virtual Status unmount(const std::string& target) = 0;
  /// How many mounts stand on `target` (mountinfo lines).
  virtual Result<int> count(const std::string& target) = 0;
};

class KernelMounter final : public Mounter {
 public:
  Status mount(const MountSpec& spec, const std::string& target) override;
  Status unmount(const std::string& target) override;
  Result<int> count(const std::string& target) override;
};

}  // namespace skep::local
