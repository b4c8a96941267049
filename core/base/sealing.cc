#include "core/base/sealing.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>

#include "core/base/hex.h"

namespace skep::base {
namespace {

constexpr char kMagic = static_cast<char>(0xC5);
constexpr char kFormat = 1;
constexpr std::size_t kHead = 2;
constexpr std::size_t kKeyId = 8;
constexpr std::size_t kNonce = 24;
constexpr std::size_t kNonceHalf = 12;
constexpr std::size_t kTag = 16;
constexpr std::size_t kBlock = 16;
static_assert(kHead + kKeyId + kNonce + kTag == kSealOverhead);

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { ::EVP_CIPHER_CTX_free(context); }
};
using ContextPtr = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

/// Fetched once: a fetch costs more than sealing a small value.
const EVP_CIPHER* cipher(const char* name) {
  EVP_CIPHER* found = ::EVP_CIPHER_fetch(nullptr, name, nullptr);
  SKEP_ASSERT(found != nullptr, "OpenSSL's default provider has AES-256");
  return found;
}
const EVP_CIPHER* gcm() {
  static const EVP_CIPHER* const found = cipher("AES-256-GCM");
  return found;
}
const EVP_CIPHER* ecb() {
  static const EVP_CIPHER* const found = cipher("AES-256-ECB");
  return found;
}

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
int length(std::string_view text) { return static_cast<int>(text.size()); }

/// AES of whole blocks, each on its own.
std::string encrypt_blocks(std::string_view key, std::string_view blocks) {
  const ContextPtr context(::EVP_CIPHER_CTX_new());
  std::string out(blocks.size(), '\0');
  int size = 0;
  const bool good =
      context && ::EVP_EncryptInit_ex2(context.get(), ecb(), bytes(key), nullptr, nullptr) == 1 &&
      ::EVP_CIPHER_CTX_set_padding(context.get(), 0) == 1 &&
      ::EVP_EncryptUpdate(context.get(), bytes(out), &size, bytes(blocks), length(blocks)) == 1;
  SKEP_ASSERT(good && size == length(blocks), "AES fails for want of memory only");
  return out;
}

/// The second half of CMAC's key schedule: L doubled in GF(2^128).
std::string doubled(std::string block) {
  const bool carry = (static_cast<unsigned char>(block[0]) & 0x80U) != 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const unsigned next = i + 1 < kBlock ? static_cast<unsigned char>(block[i + 1]) >> 7U : 0U;
    block[i] = static_cast<char>((static_cast<unsigned char>(block[i]) << 1U) | next);
  }
  if (carry) {
    block[kBlock - 1] = static_cast<char>(block[kBlock - 1] ^ 0x87);
  }
  return block;
}

std::string digest(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  const bool good =
      ::EVP_Digest(text.data(), text.size(), out.data(), &size, ::EVP_sha256(), nullptr) == 1;
  SKEP_ASSERT(good, "SHA-256 is always there");
  return {reinterpret_cast<const char*>(out.data()), size};
}

Error damaged(const char* why) {
  return Error{Code::kDataLoss, std::string("a sealed value is damaged: ") + why, "SEAL_DAMAGED"};
}

}  // namespace

Sealer::Sealer(std::string key)
    : key_(std::move(key)),
      key_id_(digest("skep key id" + key_).substr(0, kKeyId)),
      derive_mask_(doubled(encrypt_blocks(key_, std::string(kBlock, '\0')))) {}

Sealer::~Sealer() { ::OPENSSL_cleanse(key_.data(), key_.size()); }

Result<std::shared_ptr<const Sealer>> Sealer::make(std::string_view key) {
  if (key.size() != kSealKeyBytes) {
    return Error{Code::kInvalidArgument,
                 "a key of " + std::to_string(key.size()) + " bytes is none: it has " +
                     std::to_string(kSealKeyBytes),
                 "BAD_SEAL_KEY"};
  }
  return std::shared_ptr<const Sealer>(new Sealer(std::string(key)));
}

std::shared_ptr<const Sealer> Sealer::make_new(Random& random) {
  return std::shared_ptr<const Sealer>(new Sealer(random.bytes(kSealKeyBytes)));
}

std::string Sealer::key_name() const { return hex(key_id_); }

std::string Sealer::derive(std::string_view nonce_head) const {
  std::string blocks;
  for (const char counter : {'\1', '\2'}) {
    std::string block{'\0', counter, 'X', '\0'};
    block += nonce_head;
    for (std::size_t i = 0; i < kBlock; ++i) {
      block[i] = static_cast<char>(block[i] ^ derive_mask_[i]);
    }
    blocks += block;
  }
  return encrypt_blocks(key_, blocks);
}

std::string Sealer::encrypt(std::string_view nonce, std::string_view plain,
                            std::string_view context) const {
  std::string key = derive(nonce.substr(0, kNonceHalf));
  const std::string_view rest = nonce.substr(kNonceHalf);
  const ContextPtr cipher(::EVP_CIPHER_CTX_new());
  std::string out(plain.size() + kTag, '\0');
  int size = 0;
  int end = 0;
  bool good = cipher && ::EVP_EncryptInit_ex2(cipher.get(), gcm(), bytes(key), bytes(rest), nullptr) == 1;
  ::OPENSSL_cleanse(key.data(), key.size());
  good = good && ::EVP_EncryptUpdate(cipher.get(), nullptr, &size, bytes(context), length(context)) == 1 &&
         ::EVP_EncryptUpdate(cipher.get(), bytes(out), &size, bytes(plain), length(plain)) == 1 &&
         ::EVP_EncryptFinal_ex(cipher.get(), bytes(out) + size, &end) == 1 &&
         ::EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kTag),
                               bytes(out) + plain.size()) == 1;
  SKEP_ASSERT(good, "encryption fails for want of memory only");
  return out;
}

std::string Sealer::seal(std::string_view plain, std::string_view context, Random& random) const {
  const std::string nonce = random.bytes(kNonce);
  std::string out;
  out.reserve(plain.size() + kSealOverhead);
  out += kMagic;
  out += kFormat;
  out += key_id_;
  out += nonce;
  out += encrypt(nonce, plain, context);
  return out;
}

Result<std::string> Sealer::unseal(std::string_view sealed, std::string_view context) const {
  if (!looks_sealed(sealed)) {
    return damaged("it does not begin as one");
  }
  if (sealed[1] != kFormat) {
    return Error{Code::kFailedPrecondition, "a value was sealed by a newer version; install a newer agentd",
                 "SEAL_FORMAT"};
  }
  if (sealed.size() < kSealOverhead) {
    return damaged("it is cut off");
  }
  const std::string_view id = sealed.substr(kHead, kKeyId);
  if (id != key_id_) {
    return Error{Code::kFailedPrecondition,
                 "a value was sealed with key " + hex(id) + ", but the key here is " + key_name(),
                 "WRONG_SEAL_KEY"};
  }
  const std::string_view nonce = sealed.substr(kHead + kKeyId, kNonce);
  const std::string_view body =
      sealed.substr(kHead + kKeyId + kNonce, sealed.size() - kSealOverhead);
  std::string tag(sealed.substr(sealed.size() - kTag));
  std::string key = derive(nonce.substr(0, kNonceHalf));
  const ContextPtr cipher(::EVP_CIPHER_CTX_new());
  std::string out(body.size(), '\0');
  unsigned char none = 0;
  unsigned char* const to = out.empty() ? &none : bytes(out);
  int size = 0;
  int end = 0;
  bool good = cipher && ::EVP_DecryptInit_ex2(cipher.get(), gcm(), bytes(key),
                                              bytes(nonce.substr(kNonceHalf)), nullptr) == 1;
  ::OPENSSL_cleanse(key.data(), key.size());
  good = good && ::EVP_DecryptUpdate(cipher.get(), nullptr, &size, bytes(context), length(context)) == 1 &&
         ::EVP_DecryptUpdate(cipher.get(), to, &size, bytes(body), length(body)) == 1 &&
         ::EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(kTag), tag.data()) == 1 &&
         ::EVP_DecryptFinal_ex(cipher.get(), to + size, &end) == 1;
  if (!good) {
    return damaged("its check fails (changed, or of another place)");
  }
  return out;
}

bool looks_sealed(std::string_view value) { return value.size() >= kHead && value[0] == kMagic; }

}  // namespace skep::base
