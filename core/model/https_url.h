#pragma once

// The address of a server outside the swarm, and of a certificate authority there. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "skep/model.pb.h"
#include "skep/result.h"

namespace skep::model {

inline constexpr int kExternalCasMax = 16;
/// The one protocol of external certificate authorities.
inline constexpr std::string_view kCfssl = "cfssl";

struct HttpsUrl {
  std::string host;  ///< a name or an IP address, without brackets
  std::uint16_t port = 443;
  std::string path = "/";  ///< with the query
};
/// "https://HOST[:PORT][/PATH]". kInvalidArgument BAD_URL: anything else; nothing that could end a
/// line of HTTP passes.
Result<HttpsUrl> parse_https_url(std::string_view text);

/// Protocol, url and sizes; the certificate is text as far as it is looked at here.
Status validate_external_ca(const v1::ExternalCa& authority);

}  // namespace skep::model
