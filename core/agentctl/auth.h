#pragma once

// The auth file: registry credentials in docker's format ({"auths": {"HOST": {"auth": BASE64}}}),
// mode 0600. Pure functions over its text; who reads and writes it is nouns/login.cc.

#include <string>
#include <string_view>

#include "skep/result.h"

namespace skep::ctl {

struct Credentials {
  std::string user;
  std::string password;
};

std::string encode_base64(std::string_view bytes);
/// kInvalidArgument for what is not base64.
Result<std::string> decode_base64(std::string_view text);

/// Registry an image reference or a `login` argument means: "docker.io" when it names none.
std::string registry_key(std::string_view reference);

/// kNotFound: no credentials for `registry`; kDataLoss: the file is not docker's format.
Result<Credentials> find_credentials(std::string_view auth_file, std::string_view registry);
/// The file's text without the entry of `registry`. kNotFound: there was none.
Result<std::string> remove_credentials(std::string_view auth_file, std::string_view registry);
/// The JSON text `registry_auth` carries, in base64: {"username","password","serveraddress"}.
std::string encode_registry_auth(const Credentials& credentials, std::string_view registry);

}  // namespace skep::ctl
