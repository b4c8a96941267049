#pragma once

// Reading and copying inside a container's root file system. Its symlinks are the image author's,
// so every path is resolved by the kernel with the root as "/" (openat2, RESOLVE_IN_ROOT).
// Blocking: worker threads only.

#include <string>

#include "plugins/runtime/oci/container/fd.h"
#include "skep/result.h"

namespace skep::oci {

/// Opens `path` below the directory `root`. kNotFound when there is none.
Result<UniqueFd> open_in_root(const std::string& root, const std::string& path, int flags);

/// A small text file of the image (passwd, group), at most 10 MiB; empty when it is missing.
Result<std::string> read_in_root(const std::string& root, const std::string& path);

/// Docker's rule for volumes: when the directory `volume` is empty and the image has a directory
/// `target`, copies its content, owners, modes, times, xattrs and hard links, and gives the volume
/// that directory's owner and mode. A file that appears meanwhile makes it stop with kConflict.
Status copy_up(const std::string& root, const std::string& target, const std::string& volume);

}  // namespace skep::oci
