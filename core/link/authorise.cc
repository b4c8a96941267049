#include "core/link/authorise.h"

#include <string>

namespace skep::link {
namespace {

struct Rule {
  std::string_view prefix;  // of the method
  bool joiner;
  bool worker;
  bool manager;
  bool locked;  // a manager whose key lies open meanwhile: the session of its node side, nothing else
};
constexpr Rule kRules[] = {
    {"ca/1/get_root", true, true, true, true},
    {"ca/1/issue", true, false, true, false},  // a manager passes a joiner on to the leader
    {"ca/1/renew", false, true, true, false},  // it would be answered with a manager's certificate
    {"ca/1/join_token", false, false, true, false},
    {"dispatch/1/", false, true, true, true},
    {"control/1/", false, false, true, false},
    {"manager/1/check_member", false, true, true, false},  // a demoted node asks whether it is out
    {"manager/1/", false, false, true, false},
    {"consensus/1/deliver", false, false, true, false},  // the other events come from our own driver only
    {"node/1/", false, false, true, false},
};

bool allows(const Rule& rule, const std::optional<Identity>& who) {
  if (!who) {
    return rule.joiner;
  }
  switch (who->role) {
    case Role::kWorker: return rule.worker;
    case Role::kManager: return rule.manager;
    case Role::kLockedManager: return rule.locked;
  }
  return false;
}

}  // namespace

Status authorise(const std::optional<Identity>& who, std::string_view method) {
  for (const Rule& rule : kRules) {
    const bool whole = !rule.prefix.ends_with('/');
    if (whole ? method != rule.prefix : !method.starts_with(rule.prefix)) {
      continue;
    }
    if (allows(rule, who)) {
      return ok();
    }
    break;
  }
  if (!who) {
    return Error{Code::kUnauthenticated,
                 "'" + std::string(method) + "' needs the certificate of a node of this swarm",
                 "NO_CERTIFICATE"};
  }
  return Error{Code::kPermissionDenied,
               "node '" + who->node_id + "' is a " + std::string(role_name(who->role)) +
                   " and may not call '" + std::string(method) + "'",
               "NOT_ALLOWED"};
}

}  // namespace skep::link
