#include "core/agentd/renewal_timer.h"

#include <gtest/gtest.h>

#include "skep/testing/manual_env.h"

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;

constexpr Duration kDay = 24h;

class RenewalTimerTest : public ::testing::Test, protected testing::ManualEnv {
 protected:
  link::CertificateFacts signed_now() {
    link::CertificateFacts facts;
    facts.not_before = loop.wall_now() - Duration(1h).count();
    facts.not_after = loop.wall_now() + Duration(90 * kDay).count();
    return facts;
  }
  int due = 0;
  RenewalTimer timer{env, [this] { ++due; }};
};

TEST_F(RenewalTimerTest, RenewsBetweenHalfAndFourFifthsOfTheLife) {
  timer.follow(signed_now());
  loop.advance(44 * kDay);
  EXPECT_EQ(due, 0);
  loop.advance(29 * kDay);
  EXPECT_EQ(due, 1);
  EXPECT_FALSE(timer.waits());
}

TEST_F(RenewalTimerTest, SeesThatTheClockWasSetForward) {
  timer.follow(signed_now());
  loop.advance(1min);
  loop.jump_wall_clock(200 * kDay);
  EXPECT_EQ(due, 0);
  loop.advance(RenewalTimer::kLook);
  EXPECT_EQ(due, 1) << "it expired";
}

TEST_F(RenewalTimerTest, SeesThatTheClockWasSetBack) {
  timer.follow(signed_now());
  loop.advance(1min);
  loop.jump_wall_clock(-200 * kDay);
  loop.advance(RenewalTimer::kLook);
  EXPECT_EQ(due, 1) << "it is not valid yet";
}

TEST_F(RenewalTimerTest, ASmallStepOfTheClockChangesNothing) {
  timer.follow(signed_now());
  loop.jump_wall_clock(-10min);
  loop.advance(1h);
  loop.jump_wall_clock(20min);
  loop.advance(1h);
  EXPECT_EQ(due, 0);
}

TEST_F(RenewalTimerTest, AClockFarAheadDoesNotAskAllTheTime) {
  const auto made_now = [this] {  // by a manager whose clock is right
    auto facts = signed_now();
    facts.not_before -= Duration(80 * kDay).count();
    facts.not_after -= Duration(80 * kDay).count();
    return facts;
  };
  timer.follow(made_now());
  for (int day = 0; day < 9; ++day) {
    loop.advance(kDay);
    timer.waits() ? void() : timer.follow(made_now());
  }
  EXPECT_EQ(due, 2) << "at once, and after a twentieth of its life";
  loop.jump_wall_clock(200 * kDay);
  loop.advance(RenewalTimer::kLook);
  EXPECT_EQ(due, 3) << "what is out of date is replaced at once";
}

TEST_F(RenewalTimerTest, WhatIsWishedComesSoonerAndOnce) {
  timer.follow(signed_now());
  timer.in(5s);
  loop.advance(1h);
  EXPECT_EQ(due, 1);
  timer.follow(signed_now());
  timer.stop();
  loop.advance(300 * kDay);
  EXPECT_EQ(due, 1);
}

}  // namespace
}  // namespace skep::agentd
