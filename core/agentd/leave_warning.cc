#include "core/agentd/leave_warning.h"

namespace skep::agentd {

Error leave_warning(std::size_t total, std::optional<std::size_t> up) {
  std::string text = "you are attempting to leave the swarm on a node that is participating as a manager. ";
  if (total <= 1) {
    return Error{Code::kFailedPrecondition,
                 text + "Removing the last manager erases all current state of the swarm. Use `--force` to "
                        "ignore this message",
                 "LAST_MANAGER"};
  }
  if (!up) {
    text += "The other managers cannot be asked now: whether they are a quorum without this node is not known. ";
  } else if (const std::size_t left = *up > 0 ? *up - 1 : 0; left <= total / 2) {
    text += "Removing this node leaves " + std::to_string(left) + " managers out of " + std::to_string(total) +
            ". Without a Raft quorum your swarm will be inaccessible. ";
  }
  return Error{Code::kFailedPrecondition,
               text + "The only way to restore a swarm that has lost consensus is to reinitialize it with "
                      "`--force-new-cluster`. Demote this node first, or use `--force` to suppress this message",
               "NODE_IS_MANAGER"};
}

}  // namespace skep::agentd
