#pragma once

// Who may become a node, and in which role: join secrets, certificates. Pure: decides from the cluster
// state; ca_api.h performs. The root's key never leaves managers.

#include <string>

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

/// A certificate for `node_id` in the role of its Node object. kPermissionDenied NODE_REMOVED: there is
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
