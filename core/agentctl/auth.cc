#include "core/agentctl/auth.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace skep::ctl {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kDockerHub =
    "https://index.docker.io/v1/";  // docker's own name for docker.io

Error damaged(std::string_view why) {
  return Error{
      Code::kDataLoss,
      fmt::format("the auth file is damaged: {}; repair or remove it and log in again", why)};
}

}  // namespace

std::string encode_base64(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += j <= count ? kAlphabet[group >> (18 - 6 * j) & 63U] : '=';
    }
  }
  return out;
}

Result<std::string> decode_base64(std::string_view text) {
  std::string out;
  std::uint32_t group = 0;
  int bits = 0;
  while (!text.empty() && text.back() == '=') {
    text.remove_suffix(1);
  }
  for (const char c : text) {
    const std::size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) {
      return Error{Code::kInvalidArgument, "not base64"};
    }
    group = group << 6 | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(group >> bits & 255U);
    }
  }
  return out;
}

std::string registry_key(std::string_view reference) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (reference.starts_with(scheme)) {
      reference.remove_prefix(scheme.size());
      return std::string(reference.substr(0, reference.find('/')));
    }
  }
  const std::string_view first = reference.substr(0, reference.find('/'));
  const bool named = first.find_first_of(".:") != std::string_view::npos || first == "localhost";
  return named && first.size() < reference.size() ? std::string(first) : "docker.io";
}

Result<Credentials> find_credentials(std::string_view auth_file, std::string_view registry) {
  boost::system::error_code error;
  const boost::json::value root = boost::json::parse({auth_file.data(), auth_file.size()}, error);
  if (error || !root.is_object()) {
    return damaged("it is not a JSON object");
  }
  const boost::json::value* auths = root.get_object().if_contains("auths");
  const auto not_found =
      Error{Code::kNotFound, fmt::format("no credentials for registry '{}'", registry)};
  if (auths == nullptr || !auths->is_object()) {
    return not_found;
  }
  const boost::json::value* entry =
      auths->get_object().if_contains({registry.data(), registry.size()});
  if (entry == nullptr && registry == "docker.io") {
    entry = auths->get_object().if_contains({kDockerHub.data(), kDockerHub.size()});
  }
  if (entry == nullptr) {
    return not_found;
  }
  const boost::json::value* auth =
      entry->is_object() ? entry->get_object().if_contains("auth") : nullptr;
  if (auth == nullptr || !auth->is_string()) {
    return damaged("an entry has no 'auth'");
  }
  const auto decoded =
      decode_base64(std::string_view(auth->get_string().data(), auth->get_string().size()));
  const std::size_t colon = decoded ? decoded->find(':') : std::string::npos;
  if (colon == std::string::npos) {
    return damaged("an entry's 'auth' is not base64 of USER:PASSWORD");
  }
  return Credentials{decoded->substr(0, colon), decoded->substr(colon + 1)};
}

Result<std::string> remove_credentials(std::string_view auth_file, std::string_view registry) {
  boost::system::error_code error;
  boost::json::value root = boost::json::parse({auth_file.data(), auth_file.size()}, error);
  if (error || !root.is_object()) {
    return damaged("it is not a JSON object");
  }
  boost::json::value* auths = root.get_object().if_contains("auths");
  std::size_t removed = 0;
  if (auths != nullptr && auths->is_object()) {
    removed += auths->get_object().erase({registry.data(), registry.size()});
    if (registry == "docker.io") {
      removed += auths->get_object().erase({kDockerHub.data(), kDockerHub.size()});
    }
  }
  if (removed == 0) {
    return Error{Code::kNotFound, fmt::format("no credentials for registry '{}'", registry)};
  }
  return boost::json::serialize(root) + "\n";
}

std::string encode_registry_auth(const Credentials& credentials, std::string_view registry) {
  boost::json::object object;
  object["username"] = credentials.user;
  object["password"] = credentials.password;
  object["serveraddress"] = boost::json::string_view(registry.data(), registry.size());
  return encode_base64(boost::json::serialize(object));
}

}  // namespace skep::ctl
