#include "core/model/units.h"

#include <gtest/gtest.h>

namespace skep::model {
namespace {

using namespace std::chrono_literals;

TEST(Units, ReadsBytesWithBinaryUnits) {
  EXPECT_EQ(*parse_bytes("512m"), 512 << 20);
  EXPECT_EQ(*parse_bytes("1.5g"), 3LL << 29);
  EXPECT_EQ(*parse_bytes("1024"), 1024);
  EXPECT_EQ(*parse_bytes("4MiB"), 4 << 20);
  EXPECT_EQ(*parse_bytes("10 kb"), 10240);
  EXPECT_EQ(*parse_bytes("0.5b"), 0);
}

TEST(Units, RefusesMalformedBytes) {
  for (const char* text : {"", "m", "-1", "1x", "1mm", "99999999999g", "1e9", "."}) {
    EXPECT_FALSE(parse_bytes(text)) << text;
  }
}

TEST(Units, PrintsBytesAsDocker) {
  EXPECT_EQ(print_bytes(42), "42B");
  EXPECT_EQ(print_bytes(512 << 20), "512MiB");
  EXPECT_EQ(print_bytes(3LL << 29), "1.5GiB");
}

TEST(Units, ReadsAndPrintsCpus) {
  EXPECT_EQ(*parse_cpus("0.5"), 500'000'000);
  EXPECT_EQ(*parse_cpus("2"), 2'000'000'000);
  EXPECT_EQ(*parse_cpus(".000000001"), 1);
  EXPECT_FALSE(parse_cpus("0.0000000001"));
  EXPECT_FALSE(parse_cpus("half"));
  EXPECT_EQ(print_cpus(500'000'000), "0.5");
  EXPECT_EQ(print_cpus(2'000'000'000), "2");
}

TEST(Units, ReadsAndPrintsGoDurations) {
  EXPECT_EQ(*parse_duration("1h30m"), 90min);
  EXPECT_EQ(*parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(*parse_duration("0"), 0s);
  EXPECT_EQ(*parse_duration("-2m"), -2min);
  EXPECT_EQ(*parse_duration("7\xc2\xb5s"), 7us);
  for (const char* text : {"", "5", "s", "1y", "10000000h", "+", "1s2"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
  EXPECT_EQ(print_duration(90min), "1h30m0s");
  EXPECT_EQ(print_duration(1500ms), "1.5s");
  EXPECT_EQ(print_duration(300ms), "300ms");
  EXPECT_EQ(print_duration(60s), "1m0s");
  EXPECT_EQ(print_duration(Duration::min()), "-2562047h47m16.854775808s");
}

TEST(Units, DurationSurvivesPrintingAndReading) {
  std::uint64_t x = 12345;
  for (int i = 0; i < 1000; ++i) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    const Duration duration(static_cast<std::int64_t>(x >> (1 + x % 60)));
    EXPECT_EQ(*parse_duration(print_duration(duration)), duration) << duration.count();
  }
}

}  // namespace
}  // namespace skep::model
