#include "core/control/leader_proof.h"

#include <gtest/gtest.h>

#include <string>

namespace skep::control {
namespace {

class LeaderProofTest : public ::testing::Test {
 protected:
  void ask(const std::string& who) {
    proof.ask([this, who](const Status& status) { told += who + "=" + (status ? "ok" : status.error().reason) + " "; });
  }
  /// Answers the oldest barrier.
  void answer(Status status) {
    const auto done = std::move(barriers.front());
    barriers.erase(barriers.begin());
    done(std::move(status));
  }

  std::vector<LeaderProof::Then> barriers;  // under way
  LeaderProof proof{[this](LeaderProof::Then then) { barriers.push_back(std::move(then)); }};
  std::string told;
};

TEST_F(LeaderProofTest, ABarrierCountsForWhoAskedBeforeItBegan) {
  ask("a");
  ask("b");
  ask("c");
  ASSERT_EQ(barriers.size(), 1U);
  answer(ok());
  EXPECT_EQ(told, "a=ok ");
  ASSERT_EQ(barriers.size(), 1U) << "the others share the next one";
  answer(Error{Code::kTimeout, "no majority"});
  EXPECT_EQ(told, "a=ok b=NOT_LEADER c=NOT_LEADER ");
  EXPECT_TRUE(barriers.empty());
}

TEST_F(LeaderProofTest, WhatBeganBeforeLeadershipWasLostProvesNothing) {
  ask("a");
  ask("b");
  proof.lost();
  EXPECT_EQ(told, "a=NOT_LEADER b=NOT_LEADER ");
  ask("c");
  ASSERT_EQ(barriers.size(), 2U);
  answer(ok());  // of the leadership before
  EXPECT_EQ(told, "a=NOT_LEADER b=NOT_LEADER ");
  answer(ok());
  EXPECT_EQ(told, "a=NOT_LEADER b=NOT_LEADER c=ok ");
}

TEST_F(LeaderProofTest, HasALimit) {
  for (std::size_t i = 0; i < LeaderProof::kWaitingMax; ++i) {
    proof.ask([](const Status&) {});
  }
  ask("a");
  EXPECT_EQ(told, "a=TOO_MANY_WAITING ");
}

}  // namespace
}  // namespace skep::control
