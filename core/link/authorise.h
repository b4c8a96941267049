#pragma once

// Which method who may call over a link. Whoever is not named may call nothing. That a node speaks only
// for itself is checked by the methods, against the principal. Pure.

#include <optional>
#include <string_view>

#include "core/link/certificate.h"
#include "skep/result.h"

namespace skep::link {

/// `who` is nullopt for a joiner, which showed no certificate. kPermissionDenied NOT_ALLOWED, or
/// kUnauthenticated NO_CERTIFICATE.
Status authorise(const std::optional<Identity>& who, std::string_view method);

}  // namespace skep::link
