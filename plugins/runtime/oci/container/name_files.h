#pragma once

// The texts of /etc/hosts, /etc/hostname and /etc/resolv.conf when the caller brings none. Pure.

#include <string>

#include "skep/result.h"
#include "skep/runtime.pb.h"

namespace skep::oci {

/// kInvalidArgument: an entry of spec.hosts is not "IP NAME...".
Result<std::string> hosts_text(const model::v1::ContainerSpec& spec, const std::string& hostname);

/// The service's servers, search list and options, each falling back to the node's own file.
std::string resolv_text(const model::v1::ContainerSpec& spec, const std::string& node_resolv);

}  // namespace skep::oci
