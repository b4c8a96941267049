// The old way to replace OpenSSL's generator is the short one, and still holds for all of its parts.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "seeded_openssl.h"

#include <openssl/rand.h>

#include <algorithm>
#include <utility>

namespace skep::sim {

namespace {

testing::SeededRandom* present = nullptr;

int draw(unsigned char* to, int size) {
  const std::string bytes = present->bytes(static_cast<std::size_t>(size));
  std::copy(bytes.begin(), bytes.end(), to);
  return 1;
}
int ready() { return 1; }

const RAND_METHOD kSeeded{nullptr, draw, nullptr, nullptr, draw, ready};

}  // namespace

SeededOpenssl::SeededOpenssl(std::uint64_t seed)
    : random_(seed), elder_(std::exchange(present, &random_)) {
  SKEP_ASSERT(::RAND_set_rand_method(&kSeeded) == 1, "it only stores the pointer");
}

SeededOpenssl::~SeededOpenssl() {
  present = elder_;
  if (present == nullptr) {
    ::RAND_set_rand_method(nullptr);
  }
}

}  // namespace skep::sim
