#pragma once

// Work inside another network namespace: a short thread enters it, so that no loop or worker ever
// changes its own. Such a thread starts no programs.

#include <functional>
#include <string>

#include "skep/result.h"

namespace skep::lib {

/// Runs `work` inside the namespace pinned at `path` and returns its answer; blocks meanwhile.
/// kNotFound: there is no such namespace (any more).
Status in_network_namespace(const std::string& path, const std::function<Status()>& work);

}  // namespace skep::lib
