#include "core/control/ca/ca.h"

#include <algorithm>

#include "core/control/ca/root_rotation.h"
#include "core/link/join_token.h"
#include "core/link/root.h"
#include "core/model/ids.h"

namespace skep::control {

namespace {

/// true: the secret is that of managers.
Result<bool> role_of_secret(const model::v1::RootCa& root, const std::string& secret) {
  // Both are compared, so that the time taken tells nothing.
  const bool manager = link::same_secret(secret, root.manager_secret());
  const bool worker = link::same_secret(secret, root.worker_secret());
  if (!manager && !worker) {
    return Error{Code::kPermissionDenied,
                 "the join token is not valid: it was rotated, or not copied whole; 'agentctl swarm "
                 "join-token worker' on a manager prints the one that is",
                 "INVALID_TOKEN"};
  }
  return manager;
}

Result<std::string> sign_as(link::Role role, const store::View& view, const std::string& node_id,
                            const std::string& request, WallTime now) {
  const auto cluster = view.cluster();
  if (!cluster || cluster->root_ca().key().empty()) {
    return Error{Code::kFailedPrecondition, "this swarm has no certificate authority yet", "NO_ROOT_CA"};
  }
  if (!view.get<model::v1::Node>(node_id)) {
    return Error{Code::kPermissionDenied, "node '" + node_id + "' was removed from the swarm", "NODE_REMOVED"};
  }
  const model::v1::RootCa& root = cluster->root_ca();
  const link::CertifiedKey issuer =
      root.has_rotation() ? link::CertifiedKey{root.rotation().certificate(), root.rotation().key()}
                          : link::CertifiedKey{root.certificate(), root.key()};
  SKEP_TRY_ASSIGN(std::string certificate,
                  link::sign_request(issuer, request, {node_id, role, cluster->id()}, now,
                                     certificate_life(cluster->spec())));
  return certificate + root.rotation().cross_signed();
}

}  // namespace

Result<model::v1::RootCa> new_root_ca(Random& random, WallTime now) {
  SKEP_TRY_ASSIGN(const link::CertifiedKey pair, link::make_root(now));
  model::v1::RootCa root;
  root.set_certificate(pair.certificate);
  root.set_key(pair.key);
  root.set_worker_secret(link::new_token_secret(random));
  root.set_manager_secret(link::new_token_secret(random));
  return root;
}

Result<std::string> join_token(const model::v1::RootCa& root, bool manager) {
  return link::make_join_token(root.certificate(), manager ? root.manager_secret() : root.worker_secret());
}

Result<model::v1::Node> admit_joiner(const store::View& view, const ca::v1::IssueRequest& request,
                                     const std::string& address, Random& random) {
  const auto cluster = view.cluster();
  if (!cluster || cluster->root_ca().key().empty()) {
    return Error{Code::kFailedPrecondition, "this swarm has no certificate authority yet", "NO_ROOT_CA"};
  }
  SKEP_TRY_ASSIGN(const bool manager, role_of_secret(cluster->root_ca(), request.secret()));
  const auto role = manager ? model::v1::NODE_ROLE_MANAGER : model::v1::NODE_ROLE_WORKER;
  model::v1::Node node;
  const auto earlier = request.node_id().empty() ? nullptr : view.get<model::v1::Node>(request.node_id());
  if (earlier && earlier->spec().role() == role && earlier->status().state() == model::v1::NODE_STATE_UNKNOWN) {
    node = *earlier;
  } else {
    node.set_id(model::new_id(random));
    node.mutable_spec()->set_role(role);
    node.mutable_spec()->set_availability(request.availability());
  }
  *node.mutable_description() = request.description();
  node.mutable_status()->set_state(model::v1::NODE_STATE_UNKNOWN);
  node.mutable_status()->set_address(address);
  return node;
}

Result<std::string> admit_returner(const store::View& view, const ca::v1::IssueRequest& request) {
  const auto cluster = view.cluster();
  if (!cluster || cluster->root_ca().key().empty()) {
    return Error{Code::kFailedPrecondition, "this swarm has no certificate authority yet", "NO_ROOT_CA"};
  }
  SKEP_TRY_ASSIGN(const bool manager, role_of_secret(cluster->root_ca(), request.secret()));
  SKEP_TRY_ASSIGN(const auto facts, link::verify_whatever_date(request.expired_certificate(),
                                                               trusted_roots(cluster->root_ca()), cluster->id()));
  if (facts.identity.role == link::Role::kLockedManager) {
    return Error{Code::kUnauthenticated,
                 "the certificate that a manager has for the time it is locked does not bring a node back",
                 "LOCKED_CERTIFICATE"};
  }
  SKEP_TRY(link::check_same_key(request.request(), request.expired_certificate()));
  const std::string& id = facts.identity.node_id;
  const auto node = view.get<model::v1::Node>(id);
  if (!node) {
    return Error{Code::kPermissionDenied,
                 "node '" + id + "' was removed from the swarm: 'agentctl swarm leave' there, then join again",
                 "NODE_REMOVED"};
  }
  if (node->spec().role() == model::v1::NODE_ROLE_MANAGER && !manager) {
    return Error{Code::kPermissionDenied,
                 "node '" + id + "' is a manager: it comes back with the token that 'agentctl swarm join-token "
                 "manager' prints",
                 "INVALID_TOKEN"};
  }
  return id;
}

Duration certificate_life(const model::v1::ClusterSpec& spec) {
  return spec.certificate_expiry() > 0
             ? std::max(Duration(spec.certificate_expiry()), Duration(link::kCertificateLifeMin))
             : Duration(link::kCertificateLife);
}

Result<std::string> certify(const store::View& view, const std::string& node_id,
                            const std::string& request, WallTime now) {
  const auto node = view.get<model::v1::Node>(node_id);
  const bool manager = node && node->spec().role() == model::v1::NODE_ROLE_MANAGER;
  return sign_as(manager ? link::Role::kManager : link::Role::kWorker, view, node_id, request, now);
}

Result<std::string> certify_locked(const store::View& view, const std::string& node_id,
                                   const std::string& request, WallTime now) {
  const auto node = view.get<model::v1::Node>(node_id);
  if (node && node->spec().role() != model::v1::NODE_ROLE_MANAGER) {
    return Error{Code::kPermissionDenied,
                 "node '" + node_id + "' is to be a worker, and only managers can be locked",
                 "NOT_A_MANAGER"};
  }
  if (const auto cluster = view.cluster(); cluster && cluster->unlock_key().empty()) {
    return Error{Code::kFailedPrecondition, "autolock is off in this swarm", "NOT_AUTOLOCKED"};
  }
  return sign_as(link::Role::kLockedManager, view, node_id, request, now);
}

}  // namespace skep::control
