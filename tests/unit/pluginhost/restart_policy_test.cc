#include "core/pluginhost/restart_policy.h"

#include <gtest/gtest.h>

#include "skep/testing/manual_env.h"

namespace skep::host {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

TEST(RestartPolicy, TheFirstIsAtOnceThenTheDelayDoubles) {
  skep::testing::SeededRandom random(1);
  RestartPolicy policy;
  TimePoint now{};
  EXPECT_EQ(policy.on_end(now, RestartPolicy::End::kCrashed, random), RestartPolicy::kFirstDelay);
  for (int doubling = 0; doubling < 12; ++doubling) {
    now += 1s;
    const Duration middle = std::min<Duration>(RestartPolicy::kLongestDelay, 1s * (1 << std::min(doubling, 7)));
    const Duration delay = policy.on_end(now, RestartPolicy::End::kCrashed, random);
    EXPECT_GE(delay, middle * 80 / 100);
    EXPECT_LE(delay, middle * 120 / 100);
  }
}

TEST(RestartPolicy, FiveEndsInTenMinutesAreACrashLoop) {
  skep::testing::SeededRandom random(1);
  RestartPolicy policy;
  TimePoint now{};
  for (int end = 1; end <= 5; ++end) {
    EXPECT_FALSE(policy.crash_loop(now));
    policy.on_end(now, RestartPolicy::End::kCrashed, random);
    now += 2min;
  }
  EXPECT_TRUE(policy.crash_loop(now));
  EXPECT_FALSE(policy.crash_loop(now + 1min));
}

TEST(RestartPolicy, WhatIsLongAgoIsForgotten) {
  skep::testing::SeededRandom random(1);
  RestartPolicy policy;
  policy.on_end(TimePoint{}, RestartPolicy::End::kCrashed, random);
  policy.on_end(TimePoint{} + 1s, RestartPolicy::End::kCrashed, random);
  EXPECT_EQ(policy.on_end(TimePoint{} + 11min, RestartPolicy::End::kCrashed, random), RestartPolicy::kFirstDelay);
}

TEST(RestartPolicy, BeingKilledIsNoCrash) {
  skep::testing::SeededRandom random(1);
  RestartPolicy policy;
  const auto killed = [&] { return policy.on_end(TimePoint{}, RestartPolicy::End::kKilled, random); };
  for (std::size_t kill = 0; kill < RestartPolicy::kKillsAtOnce; ++kill) {
    EXPECT_EQ(killed(), RestartPolicy::kFirstDelay);
  }
  EXPECT_FALSE(policy.crash_loop(TimePoint{}));
  EXPECT_EQ(killed(), RestartPolicy::kFirstDelay);  // counts as the first crash
  EXPECT_GT(killed(), RestartPolicy::kFirstDelay);
}

}  // namespace
}  // namespace skep::host
