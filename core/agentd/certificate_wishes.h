#pragma once

// What a node does with its certificate when the managers tell what they wish. Pure; also what nodes of the
// simulator do.

#include <optional>

#include "core/link/tls.h"
#include "skep/ca.pb.h"
#include "skep/dispatch.pb.h"
#include "skep/env.h"

namespace skep::agentd {

/// The credentials with the roots that the managers name. nullopt: nothing changes, or our own certificate
/// is not good for those yet; then the renewal brings both.
std::optional<link::Credentials> with_wanted_roots(const dispatch::v1::SessionMessage& message,
                                                   const link::Credentials& credentials);
/// Another root is to have signed our certificate, or it lives longer than the swarm wants.
bool must_renew(const dispatch::v1::SessionMessage& message, const link::Credentials& credentials,
                WallTime now);
/// What a renewal brought. kUnauthenticated: no other node would accept it now.
Result<link::Credentials> renewed(const ca::v1::RenewResponse& reply,
                                  const link::Credentials& credentials, WallTime now);

}  // namespace skep::agentd
