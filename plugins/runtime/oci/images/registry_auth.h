#pragma once

// Credentials for a registry, as they travel in ContainerSpec.registry_auth and as skopeo reads
// them. Pure. Nothing here ever prints them.

#include <string>
#include <string_view>

#include "skep/result.h"

namespace skep::oci {

struct RegistryAuth {
  std::string username;
  std::string password;
  std::string identity_token;  ///< instead of a password, from a registry with OAuth

  [[nodiscard]] bool anonymous() const { return username.empty() && identity_token.empty(); }
};

/// Base64 (either alphabet, padded or not) of JSON {"username","password","serveraddress"} or
/// {"auth"}, {"identitytoken"}. Empty text and "{}" mean anonymous. kInvalidArgument otherwise;
/// the message never holds the text. kUnimplemented: a bare registry token.
Result<RegistryAuth> parse_registry_auth(std::string_view text);

/// A containers-auth.json(5) file for one registry; without entries when anonymous.
std::string auth_file(std::string_view registry, const RegistryAuth& auth);

std::string base64_encode(std::string_view data);
/// kInvalidArgument for text that is not base64.
Result<std::string> base64_decode(std::string_view text);

}  // namespace skep::oci
