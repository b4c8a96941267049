#pragma once

// Loads a plugin's shared object and checks its door. The only place that includes Boost.DLL.
// A library that was loaded is never unloaded: code pointers and thread-locals would dangle.

#include <string>

#include "core/pluginhost/manifest.h"
#include "skep/abi.h"

namespace skep::host {

/// [any thread] Loads `path` and returns its entry, checked against `manifest` (which was read
/// from the file before). kInvalidArgument / kUnimplemented say what does not fit and what to do; kPermissionDenied
/// UNSAFE_FILE: others can change the file (file_safety.h), and nothing of it was run.
Result<const skep_entry*> load_entry(const std::string& path, const Manifest& manifest);

/// The checks alone, for tests: tables, sizes, versions, id.
Status check_entry(const skep_entry* entry, const Manifest& manifest);
/// The table that create() returned.
Status check_plugin(const skep_plugin* plugin);

}  // namespace skep::host
