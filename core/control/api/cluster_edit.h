#pragma once

// What the control API changes on the swarm itself: settings, unlock key, root certificate. Pure,
// as edit.h.

#include "core/control/api/edit.h"
#include "core/control/ca/root_rotation.h"

namespace skep::control {

/// kConflict when the swarm changed since `request.version` was read. Turning autolock on makes an
/// unlock key, turning it off forgets it. kFailedPrecondition NO_SIGNER: nobody would sign any more.
Result<Edit<model::v1::Cluster>> update_cluster(const store::View& view,
                                                const control::v1::UpdateClusterRequest& request,
                                                const std::string& operation_id, Random& random);
/// A new unlock key. kFailedPrecondition AUTOLOCK_OFF.
Result<Edit<model::v1::Cluster>> rotate_unlock_key(const store::View& view,
                                                   const std::string& operation_id, Random& random);
/// As root_change.h completed and proved it. kInvalidArgument BAD_ROOT.
Result<Edit<model::v1::Cluster>> rotate_root(const store::View& view,
                                             const control::v1::RotateRootRequest& request,
                                             const std::string& operation_id, WallTime now,
                                             const OutsideProof& outside = {});

}  // namespace skep::control
