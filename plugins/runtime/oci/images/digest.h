#pragma once

// Digests of content as images use them: "sha256:" and 64 lower-case hex digits.

#include <memory>
#include <string>
#include <string_view>

namespace skep::oci {

/// True for "sha256:" + 64 lower-case hex digits; other algorithms are not used here.
bool is_digest(std::string_view text);
/// "sha256:abc..." -> "abc...". Only for text that is_digest().
std::string digest_hex(std::string_view digest);
std::string digest_of(std::string_view data);

/// SHA-256 of a stream. [one thread]
class DigestStream {
 public:
  DigestStream();
  ~DigestStream();
  DigestStream(const DigestStream&) = delete;
  DigestStream& operator=(const DigestStream&) = delete;
  void update(const void* data, std::size_t size);
  /// "sha256:..."; ends the stream.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace skep::oci
