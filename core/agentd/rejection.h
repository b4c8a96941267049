#pragma once

// What `info` says when another node does not accept this one. Pure.

#include <string>

#include "skep/result.h"

namespace skep::agentd {

struct RejectedAs {
  bool manager = false;              ///< by its own log this node is one
  bool certificate_expired = false;  ///< its own
};

std::string rejection_text(const std::string& by_node, const Error& error, RejectedAs as);

}  // namespace skep::agentd
