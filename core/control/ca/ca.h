#pragma once

// Who may become a node, and in which role: join secrets, certificates. Pure: decides from the cluster
// state; ca_api.h performs. The root's key never leaves managers.

#include <string>
#include <vector>

#include "core/link/certificate.h"
#include "core/store/view.h"
#include "skep/ca.pb.h"
#include "skep/env.h"

namespace skep::control {

/// The root and the join secrets of a new swarm.
Result<model::v1::RootCa> new_root_ca(Random& random, WallTime now);
Result<std::string> join_token(const model::v1::RootCa& root, bool manager);

/// The node that a joiner becomes: a new object, or the one of an earlier try whose answer was lost.
/// kPermissionDenied INVALID_TOKEN: the secret is none of the swarm's (any more).
Result<model::v1::Node> admit_joiner(const store::View& view, const ca::v1::IssueRequest& request,
                                     const std::string& address, Random& random);

/// The node whose certificate expired: known by it and by its key, let in by a token of its role.
/// kPermissionDenied INVALID_TOKEN, NODE_REMOVED; kUnauthenticated FOREIGN_CERTIFICATE, ANOTHER_KEY,
/// LOCKED_CERTIFICATE.
Result<std::string> admit_returner(const store::View& view, const ca::v1::IssueRequest& request);

/// The role that the secret of a join token lets in as. kPermissionDenied INVALID_TOKEN.
Result<bool> joins_as_manager(const store::View& view, const std::string& secret);

/// One certificate to be made: of whom, and by whom.
struct Order {
  link::Identity identity;
  std::string request;
  Duration life{};
  link::CertifiedKey root;    ///< the wanted one; without a key that is outside the swarm
  std::string cross_signed;   ///< goes behind the certificate
  std::string trusted;        ///< PEM: what nodes trust now
  std::vector<model::v1::ExternalCa> outside;  ///< who is asked, in order; none: the swarm signs itself
};
/// kFailedPrecondition NO_ROOT_CA, NO_SIGNER: the root's key is outside, and nobody there is known.
Result<Order> order_for(const store::View& view, const link::Identity& identity, const std::string& request);
/// For a node there is, in the role of its Node object. kPermissionDenied NODE_REMOVED; as order_for().
Result<Order> order_certificate(const store::View& view, const std::string& node_id, const std::string& request);
/// The one that it shows while it is locked. kPermissionDenied NOT_A_MANAGER, kFailedPrecondition NOT_AUTOLOCKED.
Result<Order> order_locked(const store::View& view, const std::string& node_id, const std::string& request);
/// With the swarm's own key. kFailedPrecondition KEY_OUTSIDE.
Result<std::string> sign(const Order& order, WallTime now);

/// With the swarm's own key: a certificate for `node_id` in the role of its Node object. kPermissionDenied NODE_REMOVED: there is
/// none. kFailedPrecondition: the swarm has no root.
Result<std::string> certify(const store::View& view, const std::string& node_id,
                            const std::string& request, WallTime now);
/// The one that a manager shows while it is locked (link::Role::kLockedManager). As certify();
/// kPermissionDenied NOT_A_MANAGER, kFailedPrecondition NOT_AUTOLOCKED.
Result<std::string> certify_locked(const store::View& view, const std::string& node_id,
                                   const std::string& request, WallTime now);
/// The life of node certificates in this swarm.
Duration certificate_life(const model::v1::ClusterSpec& spec);

}  // namespace skep::control
