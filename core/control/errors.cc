#include "core/control/errors.h"

namespace skep::control {

bool is_refusal(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kConflict:
    case Code::kFailedPrecondition:
    case Code::kPermissionDenied:
    case Code::kUnauthenticated:
    case Code::kResourceExhausted:
    case Code::kUnimplemented:
      return true;
    case Code::kUnavailable:
    case Code::kTimeout:
    case Code::kCancelled:
    case Code::kDataLoss:
    case Code::kInternal:
      return false;
  }
  return false;
}

Error no_manager() {
  return Error{Code::kFailedPrecondition,
               "this node is not a swarm manager: use 'agentctl swarm init' or 'agentctl swarm join' to "
               "connect this node to a swarm and try again",
               "NOT_A_MANAGER"};
}

Error only_a_worker() {
  return Error{Code::kFailedPrecondition,
               "this node is not a swarm manager: worker nodes can't be used to view or modify cluster "
               "state; run this command on a manager node or promote the current node to a manager",
               "NOT_A_MANAGER"};
}

Error locked() {
  return Error{Code::kFailedPrecondition,
               "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"agentctl swarm "
               "unlock\" to unlock it",
               "LOCKED"};
}

Error manager_down(const std::string& why) {
  return Error{Code::kFailedPrecondition, "the manager role of this node does not run: " + why, "MANAGER_DOWN"};
}

Error no_leader() {
  return Error{Code::kUnavailable, "the swarm has no leader now; try again in a moment",
               "NO_LEADER"};
}

std::string cause_of_unreachable(const Error& error) {
  constexpr std::string_view kSaid = " cannot be reached: ";
  const auto at = error.message.find(kSaid);
  return at == std::string::npos ? error.message : error.message.substr(at + kSaid.size());
}

Error manager_stopped() {
  return Error{Code::kUnavailable, "the manager stopped", "MANAGER_STOPPED"};
}

}  // namespace skep::control
