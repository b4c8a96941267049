#pragma once

// What a wish for another root needs from authorities outside the swarm before it can be committed: a
// certificate that the new root signed, when its key is outside; the old root's word for the new one, when
// the old key is outside. Loop thread only.

#include <optional>

#include "core/control/ca/outside_signing.h"
#include "core/control/ca/root_rotation.h"
#include "core/store/view.h"
#include "skep/control.pb.h"

namespace skep::control {

/// Which parts must be given together. kInvalidArgument BAD_ROOT.
Status check_root_request(const control::v1::RotateRootRequest& request);

struct RootChange {
  control::v1::RotateRootRequest request;  ///< with certificate and key, when the swarm is to make them
  std::optional<OutsideQuestion> probe;
  std::optional<OutsideQuestion> cross_signing;
};
/// kInvalidArgument BAD_ROOT; kFailedPrecondition NO_SIGNER, BOTH_OUTSIDE: neither key is in the swarm, so
/// nobody can vouch for the new root. `clock` is asked when answers are checked.
Result<RootChange> plan_root_change(const store::View& view, const control::v1::RotateRootRequest& request,
                                    Clock& clock);

/// Asks what `change` needs; then `done` with it, or with why not. At once when it needs nothing.
void ask_root_change(Env& env, bus::HttpsClient* https, const RootChange& change,
                     std::function<void(Result<OutsideProof>)> done);

}  // namespace skep::control
