#pragma once

// Who could change a plugin's file: its code runs as the agent, so whoever can write the file, or put another in
// its place, becomes the agent. Any thread; reads the file system only.

#include <string>

#include "skep/result.h"

namespace skep::host {

/// That nobody but their owner can write the file at `path` and the directory it lies in (behind a symbolic link:
/// those of the link's target too): not everybody, and no group but root's. A directory with the sticky bit lets
/// nobody replace what others own and may be writable. kPermissionDenied UNSAFE_FILE says what to do;
/// kInvalidArgument NOT_A_PLUGIN: no regular file.
Status check_writers(const std::string& path);

/// check_writers(), and that file and directories belong to root, to this process' user, or to the owner of its
/// program. Same errors.
Status check_plugin_file(const std::string& path);

}  // namespace skep::host
