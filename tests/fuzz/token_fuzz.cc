// Any bytes as a join token. Nothing may crash, and an accepted one has parts of the right lengths.

#include <cstdint>

#include "core/link/join_token.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto token = skep::link::parse_join_token(input);
  if (token) {
    SKEP_ASSERT(token->digest.size() == skep::link::kTokenDigestLength, "the digest is whole");
    SKEP_ASSERT(token->secret.size() == skep::link::kTokenSecretLength, "the secret is whole");
    SKEP_ASSERT(!skep::link::check_root(*token, input), "a token is no certificate");
  }
  (void)skep::link::make_join_token(input, "secret");
  return 0;
}
