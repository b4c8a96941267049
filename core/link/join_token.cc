#include "core/link/join_token.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "core/link/certificate.h"
#include "core/model/ids.h"

namespace skep::link {
namespace {

constexpr std::string_view kPrefix = "SWMTKN-";
constexpr std::string_view kVersion = "1-";
constexpr std::string_view kWhiteSpace = " \t\r\n\v\f";
constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";

/// A big-endian number as base-36 digits, padded with zeros.
std::string base36(std::string bytes, std::size_t length) {
  std::string out(length, '0');
  for (auto digit = out.rbegin(); digit != out.rend(); ++digit) {
    unsigned remainder = 0;
    for (char& byte : bytes) {
      const unsigned value = (remainder << 8U) | static_cast<unsigned char>(byte);
      byte = static_cast<char>(value / 36);
      remainder = value % 36;
    }
    *digit = kDigits[remainder];
  }
  return out;
}

Error bad_token(const std::string& why) {
  return Error{Code::kInvalidArgument,
               "the join token " + why + "; 'agentctl swarm join-token worker' on a manager prints it",
               "BAD_TOKEN"};
}

bool digits_only(std::string_view text) {
  return text.find_first_not_of(kDigits) == std::string_view::npos;
}

}  // namespace

std::string new_token_secret(Random& random) { return model::new_id(random); }

Result<std::string> make_join_token(std::string_view root, std::string_view secret) {
  SKEP_TRY_ASSIGN(std::string digest, certificate_digest(root));
  return std::string(kPrefix) + std::string(kVersion) + base36(std::move(digest), kTokenDigestLength) +
         "-" + std::string(secret);
}

Result<JoinToken> parse_join_token(std::string_view text) {
  // People copy it with the line's end; inside it is another mistake.
  const auto first = text.find_first_not_of(kWhiteSpace);
  text.remove_prefix(std::min(first, text.size()));
  text = text.substr(0, text.find_last_not_of(kWhiteSpace) + 1);
  if (text.find_first_of(kWhiteSpace) != std::string_view::npos) {
    return bad_token("has white space inside: it was copied with a line break, or with words around it");
  }
  if (!text.starts_with(kPrefix)) {
    return bad_token("does not begin with '" + std::string(kPrefix) + "'");
  }
  text.remove_prefix(kPrefix.size());
  if (!text.starts_with(kVersion)) {
    return bad_token("is of a version this agent does not know");
  }
  text.remove_prefix(kVersion.size());
  const auto dash = text.find('-');
  JoinToken token;
  token.digest = text.substr(0, dash);
  token.secret = dash == std::string_view::npos ? "" : text.substr(dash + 1);
  if (!digits_only(token.digest) || !digits_only(token.secret)) {
    return bad_token("holds characters that none has");
  }
  if (token.digest.size() != kTokenDigestLength || token.secret.size() != kTokenSecretLength) {
    const bool longer = token.digest.size() > kTokenDigestLength || token.secret.size() > kTokenSecretLength;
    return bad_token(longer ? "is too long" : "is cut off");
  }
  return token;
}

Status check_root(const JoinToken& token, std::string_view root) {
  SKEP_TRY_ASSIGN(std::string digest, certificate_digest(root));
  if (!same_secret(base36(std::move(digest), kTokenDigestLength), token.digest)) {
    return Error{Code::kUnauthenticated,
                 "the manager belongs to another swarm than the join token (its root certificate has another "
                 "digest): check token and address",
                 "WRONG_SWARM"};
  }
  return ok();
}

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace skep::link
