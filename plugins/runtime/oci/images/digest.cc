#include "plugins/runtime/oci/images/digest.h"

#include <openssl/evp.h>

#include <array>

#include "skep/result.h"

namespace skep::oci {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::size_t kHexSize = 64;

}  // namespace

bool is_digest(std::string_view text) {
  return text.size() == kPrefix.size() + kHexSize && text.starts_with(kPrefix) &&
         text.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string_view::npos;
}

std::string digest_hex(std::string_view digest) {
  SKEP_ASSERT(is_digest(digest), "digests are checked where they are read");
  return std::string(digest.substr(kPrefix.size()));
}

std::string digest_of(std::string_view data) {
  DigestStream stream;
  stream.update(data.data(), data.size());
  return stream.finish();
}

struct DigestStream::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
};

DigestStream::DigestStream() : state_(std::make_unique<State>()) {
  SKEP_ASSERT(
      state_->context != nullptr && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
      "OpenSSL always has SHA-256");
}

DigestStream::~DigestStream() {
  EVP_MD_CTX_free(state_->context);
}

void DigestStream::update(const void* data, std::size_t size) {
  EVP_DigestUpdate(state_->context, data, size);
}

std::string DigestStream::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(state_->context, raw.data(), &size);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(kPrefix);
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[raw[i] >> 4U];
    text += kDigits[raw[i] & 15U];
  }
  return text;
}

}  // namespace skep::oci
