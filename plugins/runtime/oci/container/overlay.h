#pragma once

// The root file system of a container: an overlay of the image's layers with a writable one on
// top, or a directory bound as it is. Blocking: worker threads only.

#include <string>
#include <vector>

#include "skep/result.h"

namespace skep::oci {

struct OverlayMount {
  std::vector<std::string> layers;  ///< topmost first, absolute
  std::string upper;
  std::string work;
  std::string target;
};

/// Makes upper, work and target when missing and mounts. A target that is an overlay already is
/// success. kInvalidArgument: more layers than one mount takes.
Status mount_overlay(const OverlayMount& mount);

/// Binds `source` (not what is mounted below it) at `target`, read-only.
Status mount_bind_read_only(const std::string& source, const std::string& target);

/// Detaches every mount at and below `target`. Nothing mounted is success.
Status unmount_tree(const std::string& target);

bool is_mount_point(const std::string& path);

/// Mount points of /proc/self/mountinfo text at or below `prefix`, deepest first. Pure.
std::vector<std::string> mounts_below(const std::string& mountinfo, const std::string& prefix);

}  // namespace skep::oci
