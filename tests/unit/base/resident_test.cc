#include "core/base/resident.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

#include "skep/testing/manual_env.h"

namespace skep::base {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

/// Where the code of this program lies, and how many KiB of it are mapped.
struct OwnCode {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  int mapped = 0;
};

OwnCode own_code() {
  std::ifstream maps("/proc/self/smaps");
  OwnCode found;
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    char dash = 0;
    std::string mode;
    if (words >> std::hex >> begin >> dash >> end >> mode && dash == '-') {
      const auto here = reinterpret_cast<std::uintptr_t>(&own_code);
      ours = begin <= here && here < end;
      if (ours) {
        found = {begin, end, 0};
      }
    } else if (ours && line.starts_with("Rss:")) {
      found.mapped = std::stoi(line.substr(4));
    }
  }
  return found;
}

/// All of it is in use.
void touch_code() {
  const OwnCode all = own_code();
  for (std::uintptr_t at = all.begin; at < all.end; at += 4096) {
    static_cast<void>(*reinterpret_cast<const volatile char*>(at));
  }
  ASSERT_EQ(own_code().mapped, static_cast<int>((all.end - all.begin) / 1024));
}

TEST(Resident, CodeThatIsNotUsedIsNoLongerMapped) {
  touch_code();
  const int before = own_code().mapped;
  release_idle_memory();
  EXPECT_LT(own_code().mapped, before);
  touch_code();  // it comes back
}

TEST(Resident, MemoryIsGivenBackAfterTheStartAndEveryTenMinutes) {
  testing::ManualEnv manual;
  keep_memory_small(manual.loop);
  for (const Duration later : {Duration(5s), Duration(10min), Duration(10min)}) {
    touch_code();
    const int before = own_code().mapped;
    manual.loop.advance(later);
    EXPECT_LT(own_code().mapped, before);
  }
}

}  // namespace
}  // namespace skep::base
