#include "core/agentd/rejection.h"

namespace skep::agentd {

std::string rejection_text(const std::string& by_node, const Error& error, RejectedAs as) {
  if (as.manager && error.reason == "NODE_REMOVED") {
    // One may be wrong (restored from an old state). Once a majority says it this node is no manager any more, and
    // the error's own words are right.
    return "manager '" + by_node + "' refuses this manager as removed from the swarm; it goes on until a majority of "
           "the managers says so";
  }
  return as.certificate_expired
             ? error.message + "; 'agentctl swarm join --token TOKEN HOST:PORT' here gives this node a new one"
             : error.message;
}

}  // namespace skep::agentd
