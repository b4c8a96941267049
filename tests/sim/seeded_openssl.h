#pragma once

// While it lives, OpenSSL draws keys, numbers and signatures from a seed, so that a world with certificates is
// the same run every time. The youngest one counts. One thread.

#include "skep/testing/manual_env.h"

namespace skep::sim {

class SeededOpenssl {
 public:
  explicit SeededOpenssl(std::uint64_t seed);
  ~SeededOpenssl();
  SeededOpenssl(const SeededOpenssl&) = delete;
  SeededOpenssl& operator=(const SeededOpenssl&) = delete;

 private:
  testing::SeededRandom random_;
  testing::SeededRandom* const elder_;
};

}  // namespace skep::sim
