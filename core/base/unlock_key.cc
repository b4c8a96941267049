#include "core/base/unlock_key.h"

#include <openssl/evp.h>

#include "core/base/sealing.h"

namespace skep::base {
namespace {

constexpr std::string_view kPrefix = "SWMKEY-1-";
constexpr std::size_t kDigits = 43;  // of 32 bytes, without padding

Error bad(const std::string& why) {
  return Error{Code::kInvalidArgument,
               "the unlock key is not valid: " + why +
                   "; 'agentctl swarm unlock-key' on a manager that is not locked prints it",
               "BAD_UNLOCK_KEY"};
}

}  // namespace

std::string new_unlock_key(Random& random) {
  const std::string raw = random.bytes(kSealKeyBytes);
  std::string text(kDigits + 2, '\0');  // one of padding, one zero
  ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                    reinterpret_cast<const unsigned char*>(raw.data()), static_cast<int>(raw.size()));
  return std::string(kPrefix) + text.substr(0, kDigits);
}

Result<std::string> parse_unlock_key(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlank);
  text = begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
  if (!text.starts_with(kPrefix)) {
    return bad("it does not begin with " + std::string(kPrefix));
  }
  text.remove_prefix(kPrefix.size());
  if (text.size() != kDigits) {
    return bad("it was not copied whole (it has " + std::to_string(text.size()) + " digits after the prefix, not " +
               std::to_string(kDigits) + ")");
  }
  const std::string padded = std::string(text) + "=";
  std::string raw(kSealKeyBytes + 1, '\0');  // decoded in threes
  if (padded.find_first_of(" \t\r\n") != std::string::npos ||
      ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(raw.data()),
                        reinterpret_cast<const unsigned char*>(padded.data()),
                        static_cast<int>(padded.size())) != static_cast<int>(raw.size())) {
    return bad("it holds characters that no key has");
  }
  raw.resize(kSealKeyBytes);
  return raw;
}

}  // namespace skep::base
