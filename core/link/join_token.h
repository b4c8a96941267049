#pragma once

// Join tokens: "SWMTKN-1-<digest>-<secret>". The digest (SHA-256 of the root certificate, 50 base-36
// digits) tells a joiner that it talks to the right swarm; the secret (25 digits, 128 bits) tells the
// swarm which role the joiner may have. Pure.

#include <string>
#include <string_view>

#include "skep/env.h"
#include "skep/result.h"

namespace skep::link {

inline constexpr std::size_t kTokenDigestLength = 50;
inline constexpr std::size_t kTokenSecretLength = 25;

struct JoinToken {
  std::string digest;
  std::string secret;
};

std::string new_token_secret(Random& random);
/// kInvalidArgument: `root` is not a certificate.
Result<std::string> make_join_token(std::string_view root, std::string_view secret);
/// White space around it is left out. kInvalidArgument BAD_TOKEN, with what is wrong: cut off, not a token at all,
/// white space inside, a newer version.
Result<JoinToken> parse_join_token(std::string_view text);
/// kUnauthenticated WRONG_SWARM: the root is not the one the token was made for.
Status check_root(const JoinToken& token, std::string_view root);
/// Takes as long whether or not and wherever they differ.
bool same_secret(std::string_view a, std::string_view b);

}  // namespace skep::link
