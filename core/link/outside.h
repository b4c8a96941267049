#pragma once

// Certificates that an authority outside the swarm signed: what it is asked, and whether its answer
// is as good as one of our own. Nothing that it says is taken on trust. Pure. Any thread.

#include <string>
#include <string_view>

#include "core/link/certificate.h"

namespace skep::link {

/// Certificates may hold longer than the swarm wants by so much.
inline constexpr Duration kOutsideLifeTolerated = std::chrono::minutes(10);

/// "swarm-manager", "swarm-worker", "swarm-locked-manager": the OU of a certificate.
std::string_view unit_name(Role role);

/// `answer` is the one certificate that `request` wanted: signed by `root` itself for that key and exactly that
/// identity, no CA, of use to both ends of TLS, valid now, for an hour more at least and for `life` at
/// most. PEM with a line end. kUnavailable BAD_ANSWER, with what is wrong and what to do.
Result<std::string> check_signed(std::string_view answer, std::string_view request, const Identity& identity,
                                 std::string_view root, WallTime now, Duration life);

/// A request to certify key and name of that root: the way from an outer root to one of the swarm's.
Result<std::string> root_request(const CertifiedKey& root);
/// `answer` is one certificate that says of `root`, its key and name, what cross_sign() says, signed by
/// `old_root`. PEM with a line end. kUnavailable BAD_ANSWER.
Result<std::string> check_cross_signed(std::string_view answer, std::string_view root, std::string_view old_root,
                                       WallTime now);

}  // namespace skep::link
