#include "core/control/ca/ca.h"

#include <algorithm>

#include "core/control/ca/external_ca.h"
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

Result<store::Ptr<model::v1::Cluster>> cluster_with_root(const store::View& view) {
  const auto cluster = view.cluster();
  if (!cluster || cluster->root_ca().certificate().empty()) {
    return Error{Code::kFailedPrecondition, "this swarm has no certificate authority yet", "NO_ROOT_CA"};
  }
  return cluster;
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
  SKEP_TRY_ASSIGN(const auto cluster, cluster_with_root(view));
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
  SKEP_TRY_ASSIGN(const auto cluster, cluster_with_root(view));
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

Result<bool> joins_as_manager(const store::View& view, const std::string& secret) {
  SKEP_TRY_ASSIGN(const auto cluster, cluster_with_root(view));
  return role_of_secret(cluster->root_ca(), secret);
}

Result<Order> order_for(const store::View& view, const link::Identity& identity, const std::string& request) {
  SKEP_TRY_ASSIGN(const auto cluster, cluster_with_root(view));
  const model::v1::RootCa& root = cluster->root_ca();
  Order order;
  order.identity = identity;
  order.request = request;
  order.life = certificate_life(cluster->spec());
  order.root = {wanted_root(root), root.has_rotation() ? root.rotation().key() : root.key()};
  order.cross_signed = root.rotation().cross_signed();
  order.trusted = trusted_roots(root);
  order.outside = external_cas_for(*cluster, order.root.certificate);
  if (order.outside.empty() && order.root.key.empty()) {
    return no_signer();
  }
  return order;
}

Result<Order> order_certificate(const store::View& view, const std::string& node_id, const std::string& request) {
  SKEP_TRY_ASSIGN(const auto cluster, cluster_with_root(view));
  const auto node = view.get<model::v1::Node>(node_id);
  if (!node) {
    return Error{Code::kPermissionDenied, "node '" + node_id + "' was removed from the swarm", "NODE_REMOVED"};
  }
  const bool manager = node->spec().role() == model::v1::NODE_ROLE_MANAGER;
  return order_for(view, {node_id, manager ? link::Role::kManager : link::Role::kWorker, cluster->id()}, request);
}

Result<Order> order_locked(const store::View& view, const std::string& node_id, const std::string& request) {
  const auto node = view.get<model::v1::Node>(node_id);
  if (node && node->spec().role() != model::v1::NODE_ROLE_MANAGER) {
    return Error{Code::kPermissionDenied,
                 "node '" + node_id + "' is to be a worker, and only managers can be locked",
                 "NOT_A_MANAGER"};
  }
  if (const auto cluster = view.cluster(); cluster && cluster->unlock_key().empty()) {
    return Error{Code::kFailedPrecondition, "autolock is off in this swarm", "NOT_AUTOLOCKED"};
  }
  SKEP_TRY_ASSIGN(Order order, order_certificate(view, node_id, request));
  order.identity.role = link::Role::kLockedManager;
  return order;
}

Result<std::string> sign(const Order& order, WallTime now) {
  if (order.root.key.empty()) {
    return Error{Code::kFailedPrecondition,
                 "the key of the root is kept outside this swarm: only its external certificate authorities sign",
                 "KEY_OUTSIDE"};
  }
  SKEP_TRY_ASSIGN(std::string certificate,
                  link::sign_request(order.root, order.request, order.identity, now, order.life));
  return certificate + order.cross_signed;
}

Result<std::string> certify(const store::View& view, const std::string& node_id,
                            const std::string& request, WallTime now) {
  SKEP_TRY_ASSIGN(const Order order, order_certificate(view, node_id, request));
  return sign(order, now);
}

Result<std::string> certify_locked(const store::View& view, const std::string& node_id,
                                   const std::string& request, WallTime now) {
  SKEP_TRY_ASSIGN(const Order order, order_locked(view, node_id, request));
  return sign(order, now);
}

}  // namespace skep::control
