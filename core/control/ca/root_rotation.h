#pragma once

// Replacing the root certificate of a swarm, node by node. From the begin on certificates are
// signed by the new root and carry its key as certified by the old one; every node is told to trust
// both and to renew. When all have, the new root takes the place of the old one, with new join
// tokens. A node that is away is waited for, so that it finds its way back; removing it ends the
// waiting. Pure.

#include <string>

#include "core/link/root.h"
#include "core/store/view.h"
#include "skep/control.pb.h"
#include "skep/env.h"

namespace skep::control {

/// PEM: everything that nodes are to trust now.
std::string trusted_roots(const model::v1::RootCa& root);
/// The root that nodes' certificates are to come from: the one of the rotation under way, else the
/// present one.
const std::string& wanted_root(const model::v1::RootCa& root);

/// What authorities outside the swarm said on the way to another root (see root_change.h). PEM.
struct OutsideProof {
  std::string cross_signed = {};  ///< of the new root, by the old one, whose key is outside
  std::string probe = {};         ///< a certificate that the new root signed, whose key is outside
};
/// Subject and cluster of certificates that only prove something.
inline constexpr const char* kProbe = "probe";

/// With a rotation to the certificate and key given, or to new ones when both are empty. Replaces a
/// rotation under way; one to the present root ends it and only takes its key, or forgets it when there is none. A
/// certificate without a key is that of a root whose key is outside. kInvalidArgument BAD_ROOT.
Result<model::v1::RootCa> begin_rotation(const model::v1::RootCa& root,
                                         const std::string& certificate, const std::string& key,
                                         WallTime now, const OutsideProof& outside = {});
/// Whether the rotation under way has come to every node.
bool rotation_complete(const store::View& view);
/// The new root in place of the old one, with new join tokens.
model::v1::RootCa finish_rotation(const model::v1::RootCa& root, Random& random);
/// How far it is. kFailedPrecondition NO_ROOT_CA.
Result<control::v1::RootStatusResponse> rotation_status(const store::View& view);

}  // namespace skep::control
