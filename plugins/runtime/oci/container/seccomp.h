#pragma once

// The default system call filter of a container, made from seccomp_default.rules. Pure.

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"

namespace skep::oci {

/// The text of seccomp_default.rules as compiled in.
std::string_view default_seccomp_rules();

/// linux.seccomp of an OCI configuration for a process with `capabilities` ("CAP_...") on
/// `machine` (uname -m). kInternal when the rules do not parse: a build with bad data.
Result<boost::json::object> seccomp_filter(std::string_view rules,
                                           const std::vector<std::string>& capabilities,
                                           std::string_view machine);

}  // namespace skep::oci
