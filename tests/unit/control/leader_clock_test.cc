#include "core/control/leader_clock.h"

#include <gtest/gtest.h>

#include "core/control/orchestrator/slot.h"
#include "skep/testing/manual_env.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;

TEST(LeaderClock, FollowsTheMachineWithoutJumps) {
  testing::ManualLoop machine;
  LeaderClock clock(machine);
  EXPECT_EQ(clock.wall_now(), machine.wall_now());
  machine.advance(10s);
  EXPECT_EQ(clock.wall_now(), machine.wall_now());

  const WallTime before = clock.wall_now();
  machine.jump_wall_clock(24h * 365);
  EXPECT_EQ(clock.wall_now(), before) << "no time has passed";
  machine.advance(60s);
  EXPECT_EQ(clock.wall_now(), before + Duration(66s).count()) << "a tenth faster at most";

  machine.jump_wall_clock(-24h * 730);
  const WallTime later = clock.wall_now();
  machine.advance(60s);
  EXPECT_EQ(clock.wall_now(), later + Duration(54s).count()) << "a tenth slower at most, never back";
  clock.set();
  EXPECT_EQ(clock.wall_now(), machine.wall_now());
}

TEST(LeaderClock, CatchesUpWithASmallCorrection) {
  testing::ManualLoop machine;
  LeaderClock clock(machine);
  machine.jump_wall_clock(1s);
  machine.advance(5s);
  EXPECT_EQ(clock.wall_now(), machine.wall_now() - Duration(500ms).count());
  machine.advance(5s);
  EXPECT_EQ(clock.wall_now(), machine.wall_now());
}

TEST(LeaderClock, StampsOfOtherClocksAreNotBelieved) {
  store::View view;
  model::v1::Service service;
  testing::SeededRandom random(1);
  const ServiceContext context{.view = view, .service = service, .now = 1'000, .random = random,
                               .leading_since = 900};
  EXPECT_EQ(context.surely_since(950), 950);
  EXPECT_EQ(context.surely_since(100), 900) << "a wait that began under another leader begins anew";
  EXPECT_EQ(context.surely_since(5'000), 900);
  EXPECT_EQ(context.since(100), 100);
  EXPECT_EQ(context.since(5'000), 900) << "a stamp of the future would make a wait last for ever";
}

}  // namespace
}  // namespace skep::control
