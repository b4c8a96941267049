#include "plugins/consensus/raft/hand_over.h"

#include <gtest/gtest.h>

namespace skep::raft {
namespace {

using namespace std::chrono_literals;
using Reason = HandOver::Reason;

constexpr TimePoint kStart{1h};

struct Judged {
  HandOver disk{1s};
  TimePoint now = kStart;
  void sync(Duration took, int times = 1) {
    for (int i = 0; i < times; ++i) {
      now += took;
      disk.on_sync(now, took);
    }
  }
};

TEST(RaftHandOver, AFullDiskIsAReasonAfterHalfATimeoutOnly) {
  Judged judged;
  judged.disk.on_full(judged.now, "no space", 100);
  ASSERT_NE(judged.disk.full(), nullptr);
  EXPECT_EQ(*judged.disk.full(), "no space");
  EXPECT_EQ(judged.disk.bytes_wanted(), 100U);
  EXPECT_EQ(judged.disk.wanted(judged.now + 499ms, 2), Reason::kNone);
  EXPECT_EQ(judged.disk.wanted(judged.now + 500ms, 2), Reason::kFull);
  judged.disk.on_full(judged.now + 600ms, "still no space", 50);
  EXPECT_EQ(*judged.disk.full(), "still no space");
  EXPECT_EQ(judged.disk.wanted(judged.now + 600ms, 2), Reason::kFull) << "since it began";
  judged.disk.on_room();
  EXPECT_EQ(judged.disk.full(), nullptr);
  EXPECT_EQ(judged.disk.wanted(judged.now + 700ms, 2), Reason::kNone);
}

TEST(RaftHandOver, SyncsAreSlowInTheMean) {
  Judged judged;
  judged.sync(700ms, 7);
  EXPECT_EQ(judged.disk.wanted(judged.now, 2), Reason::kNone) << "too few to judge";
  judged.sync(700ms);
  EXPECT_EQ(judged.disk.wanted(judged.now, 2), Reason::kSlow);
  EXPECT_EQ(judged.disk.mean_sync(judged.now), 700ms);
  judged.sync(1ms, 8);
  EXPECT_EQ(judged.disk.wanted(judged.now, 2), Reason::kNone) << "it is better now";
  Judged hiccups;
  for (int i = 0; i < 10; ++i) {
    hiccups.sync(1ms, 3);
    hiccups.sync(1900ms);
    EXPECT_EQ(hiccups.disk.wanted(hiccups.now, 2), Reason::kNone) << "the others are fast";
  }
}

TEST(RaftHandOver, OneSyncThatOutlastsEveryFollowersPatienceIsEnough) {
  Judged judged;
  judged.sync(1ms, 20);
  judged.sync(2s);
  EXPECT_EQ(judged.disk.wanted(judged.now, 2), Reason::kSlow);
  judged.sync(1ms);
  EXPECT_EQ(judged.disk.wanted(judged.now, 2), Reason::kNone);
}

TEST(RaftHandOver, OldSyncsSayNothing) {
  Judged judged;
  judged.sync(700ms, 16);
  EXPECT_EQ(judged.disk.wanted(judged.now + 61s, 2), Reason::kNone);
}

TEST(RaftHandOver, TriesAgainSoonInItsTermAndNotBeforeAMinuteInTheNext) {
  Judged judged;
  judged.disk.on_full(judged.now, "no space", 0);
  judged.now += 1s;
  ASSERT_EQ(judged.disk.wanted(judged.now, 2), Reason::kFull);
  judged.disk.on_handed_over(judged.now, 2);
  EXPECT_EQ(judged.disk.wanted(judged.now + 1999ms, 2), Reason::kNone);
  EXPECT_EQ(judged.disk.wanted(judged.now + 2s, 2), Reason::kFull) << "nobody took over";
  EXPECT_EQ(judged.disk.wanted(judged.now + 59s, 4), Reason::kNone) << "it came back: all disks may be bad";
  EXPECT_EQ(judged.disk.wanted(judged.now + 60s, 4), Reason::kFull);
}

TEST(RaftHandOver, IsReluctantUntilTheDiskWasGoodForAWhile) {
  Judged judged;
  EXPECT_FALSE(judged.disk.reluctant(judged.now));
  judged.disk.on_full(judged.now, "no space", 0);
  judged.disk.on_room();
  EXPECT_TRUE(judged.disk.reluctant(judged.now + 29s));
  EXPECT_FALSE(judged.disk.reluctant(judged.now + 30s));
  judged.sync(700ms, 16);
  EXPECT_TRUE(judged.disk.reluctant(judged.now + 29s)) << "slow counts as well";
}

}  // namespace
}  // namespace skep::raft
