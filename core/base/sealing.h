#pragma once

// Sealing of what lies on a disk: AES-256-GCM with a nonce of 192 bits (XAES-256-GCM: every value has
// a key of its own, derived from the nonce's first half), so that random nonces never repeat, however
// many values one key seals and however many machines draw them. A sealed value names its key.
//
//   sealed = %xC5 %x01 key-id(8) nonce(24) ciphertext tag(16)
//   key-id = first bytes of SHA-256("skep key id" key)
//
// Pure; any thread. Costs about 2 us and 0.5 ns per byte.

#include <memory>
#include <string>
#include <string_view>

#include "skep/env.h"
#include "skep/result.h"

namespace skep::base {

inline constexpr std::size_t kSealKeyBytes = 32;
inline constexpr std::size_t kSealOverhead = 50;  ///< bytes that sealing adds

class Sealer {
 public:
  /// kInvalidArgument: `key` has not kSealKeyBytes.
  static Result<std::shared_ptr<const Sealer>> make(std::string_view key);
  /// With a new key.
  static std::shared_ptr<const Sealer> make_new(Random& random);
  ~Sealer();
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;

  /// `context` says what the value is ("node.key"); it is not stored, and a value moved to another
  /// place does not open there.
  [[nodiscard]] std::string seal(std::string_view plain, std::string_view context, Random& random) const;
  /// kFailedPrecondition WRONG_SEAL_KEY: sealed by another key (both are named). kDataLoss
  /// SEAL_DAMAGED: cut off, changed, not sealed at all, or of another context.
  [[nodiscard]] Result<std::string> unseal(std::string_view sealed, std::string_view context) const;

  [[nodiscard]] const std::string& key() const { return key_; }
  /// For people: 16 hex digits.
  [[nodiscard]] std::string key_name() const;

 private:
  friend struct SealerTestAccess;
  explicit Sealer(std::string key);
  [[nodiscard]] std::string derive(std::string_view nonce_head) const;
  [[nodiscard]] std::string encrypt(std::string_view nonce, std::string_view plain,
                                    std::string_view context) const;

  std::string key_;
  std::string key_id_;
  std::string derive_mask_;  // K1 of the derivation
};

/// Whether the value begins as a sealed one does. Neither PEM texts nor change sets do.
bool looks_sealed(std::string_view value);

}  // namespace skep::base
