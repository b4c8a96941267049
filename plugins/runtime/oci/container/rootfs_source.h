#pragma once

// Where a container's root file system comes from: the one thing in which the runtime drivers of
// this family differ.

#include <string>
#include <vector>

#include "plugins/runtime/oci/container/spec.h"
#include "skep/result.h"
#include "skep/runtime.pb.h"

namespace skep::oci {

struct Rootfs {
  runtime::v1::Image image = {};           ///< defaults for command, env, user, ...
  std::vector<std::string> layers = {};    ///< directories, topmost first; a writable one is added
  std::string bind = {};                   ///< instead of layers: a directory bound read-only
  std::vector<ExtraMount> early_mounts = {};
  std::vector<std::string> masked_paths = {};
};

class RootfsSource {
 public:
  virtual ~RootfsSource() = default;
  /// [worker] kNotFound with reason IMAGE_NOT_FOUND when the node does not have the image.
  virtual Result<Rootfs> find(const model::v1::ContainerSpec& spec) = 0;
};

}  // namespace skep::oci
