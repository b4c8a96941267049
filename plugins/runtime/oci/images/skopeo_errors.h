#pragma once

// What skopeo's last words mean for the person who asked for an image. Pure.

#include <string_view>

#include "skep/result.h"

namespace skep::oci {

/// `image` as people named it; `registry` its host, empty for archives; `certs_directory` where the
/// registry's CA would go.
struct PullSubject {
  std::string_view image;
  std::string_view registry;
  std::string_view certs_directory;
  bool anonymous = true;  ///< no credentials were sent
};

/// kNotFound, kUnauthenticated, kUnavailable, kResourceExhausted, kFailedPrecondition (TLS),
/// kDataLoss or, when nothing fits, kInternal with skopeo's text.
Error explain_skopeo(std::string_view standard_error, const PullSubject& subject);

}  // namespace skep::oci
