#pragma once

// Names of the kernel that a container's wishes use: signals, capabilities, resource limits and
// sysctls. Checked where a service is written, so that whoever wrote it hears of a wrong one at
// once and not from each of its tasks. Runtime drivers read them again: what one of them takes
// besides has to be added here. Pure, any thread. All errors are kInvalidArgument and say which
// names are known.

#include <string_view>

#include "skep/result.h"

namespace skep::model {

/// "SIGTERM", "term", a number from 1 to 64, "RTMIN", "RTMIN+1" to "RTMIN+30", "RTMAX", "RTMAX-1"
/// to "RTMAX-30", each with or without "SIG", in any case.
Status validate_stop_signal(std::string_view text);
/// "NET_ADMIN", "cap_net_admin" or "ALL", in any case.
Status validate_capability(std::string_view text);
/// "nofile" and the like: the RLIMIT_ names of getrlimit(2) in lower case.
Status validate_ulimit_name(std::string_view name);
/// A key that each container has of its own (net.*, fs.mqueue.*, the IPC ones of kernel.*) and a
/// value.
Status validate_sysctl(std::string_view key, std::string_view value);

}  // namespace skep::model
