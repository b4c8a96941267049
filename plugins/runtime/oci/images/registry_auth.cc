#include "plugins/runtime/oci/images/registry_auth.h"

#include <boost/json.hpp>
#include <cstdint>

#include "plugins/runtime/oci/images/json_read.h"

namespace skep::oci {
namespace {

namespace bj = boost::json;

constexpr std::size_t kAuthBytesMax = 64u << 10;
constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

Error malformed(std::string_view why) {
  return Error{Code::kInvalidArgument,
               "the registry credentials are malformed (" + std::string(why) +
                   "): log in again with 'agentctl login'",
               "REGISTRY_AUTH_INVALID"};
}

int value_of(char c) {
  if (c == '-') {
    return 62;
  }
  if (c == '_') {
    return 63;
  }
  const std::size_t at = kAlphabet.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

/// {"auth": base64("user:password")}, as config files keep it.
Status split_pair(std::string_view encoded, RegistryAuth& out) {
  const Result<std::string> pair = base64_decode(encoded);
  const std::size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos) {
    return malformed("'auth' is not base64 of user:password");
  }
  out.username = pair->substr(0, colon);
  out.password = pair->substr(colon + 1);
  return ok();
}

}  // namespace

std::string base64_encode(std::string_view data) {
  std::string out;
  std::size_t at = 0;
  while (at < data.size()) {
    const std::size_t taken = std::min<std::size_t>(3, data.size() - at);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = bits << 8U | (i < taken ? static_cast<unsigned char>(data[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      out += i <= taken ? kAlphabet[bits >> (18 - 6 * i) & 63U] : '=';
    }
    at += taken;
  }
  return out;
}

Result<std::string> base64_decode(std::string_view text) {
  while (text.ends_with('=')) {
    text.remove_suffix(1);
  }
  std::string out;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int value = value_of(c);
    if (value < 0) {
      return Error{Code::kInvalidArgument, "not base64"};
    }
    bits = bits << 6U | static_cast<std::uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>(bits >> held & 255U);
    }
  }
  if (held == 6) {
    return Error{Code::kInvalidArgument, "not base64: it is cut off"};
  }
  return out;
}

Result<RegistryAuth> parse_registry_auth(std::string_view text) {
  RegistryAuth out;
  if (text.empty()) {
    return out;
  }
  if (text.size() > kAuthBytesMax) {
    return malformed("longer than 64 KiB");
  }
  const Result<std::string> decoded = base64_decode(text);
  if (!decoded) {
    return malformed("not base64");
  }
  const Result<bj::object> object = json::parse_object(*decoded, "it", kAuthBytesMax);
  if (!object) {
    return malformed("not base64 of a JSON object");
  }
  const auto username = json::text(*object, "username");
  const auto password = json::text(*object, "password");
  const auto pair = json::text(*object, "auth");
  const auto identity = json::text(*object, "identitytoken");
  const auto token = json::text(*object, "registrytoken");
  if (!username || !password || !pair || !identity || !token) {
    return malformed("a member is not a text");
  }
  if (!token->empty()) {
    return Error{Code::kUnimplemented,
                 "registry tokens are not supported: log in with a user and a password or token"};
  }
  out.username = *username;
  out.password = *password;
  out.identity_token = *identity;
  if (out.anonymous() && !pair->empty()) {
    SKEP_TRY(split_pair(*pair, out));
  }
  if (out.username.find(':') != std::string::npos) {
    return malformed("the user name holds a ':'");
  }
  return out;
}

std::string auth_file(std::string_view registry, const RegistryAuth& auth) {
  bj::object entries;
  if (!auth.anonymous()) {
    bj::object entry;
    entry["auth"] = base64_encode(auth.username + ":" + auth.password);
    if (!auth.identity_token.empty()) {
      entry["identitytoken"] = auth.identity_token;
    }
    entries[bj::string_view(registry.data(), registry.size())] = std::move(entry);
  }
  return bj::serialize(bj::object{{"auths", std::move(entries)}});
}

}  // namespace skep::oci
