#include "core/agentd/leftovers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "tests/unit/agentd/driver_rig.h"

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Outlook = DriverRig::Outlook;

class Sandboxes final : public node::SandboxMaker {
 public:
  explicit Sandboxes(Loop& loop) : loop_(loop) {}
  void make(const std::string& id, std::function<void(Result<std::string>)> done) override { done(id); }
  void remove(const std::string& id, std::function<void(Status)> done) override {
    loop_.post([this, id, done] {
      ids.erase(id);
      done(ok());
    });
  }
  void list(std::function<void(Result<std::vector<std::string>>)> done) override {
    loop_.post([this, done] { done(std::vector<std::string>(ids.begin(), ids.end())); });
  }
  std::set<std::string> ids{"t1", "t2"};

 private:
  Loop& loop_;
};

class LeftoversTest : public ::testing::Test {
 protected:
  LeftoversTest() {
    for (const char* name : {"consensus/raft", "network/bridge", "runtime/oci", "volume/local"}) {
      rig.up(name);
    }
  }
  using Absent = std::optional<std::vector<host::AbsentDriver>>;
  std::shared_ptr<Absent> leave() {
    auto absent = std::make_shared<Absent>();
    leftovers.remove([absent](auto drivers) { *absent = std::move(drivers); });
    return absent;
  }
  DriverRig rig;
  Sandboxes sandboxes{rig.loop};
  Leftovers leftovers{rig.env, *rig.caller, rig.view(), sandboxes};
};

TEST_F(LeftoversTest, ALeaveTellsRuntimesFirstAndRemovesTheSandboxes) {
  const auto absent = leave();
  rig.loop.run_ready();
  ASSERT_TRUE(*absent);
  EXPECT_THAT(**absent, IsEmpty());
  EXPECT_THAT(rig.asked, ElementsAre("recover runtime/oci", "recover network/bridge", "recover volume/local"));
  EXPECT_THAT(sandboxes.ids, IsEmpty());
}

TEST_F(LeftoversTest, ALeaveWaitsForWhatIsAboutToCome) {
  rig.missing("runtime/oci", Outlook::kSoon);
  const auto absent = leave();
  rig.loop.advance(14s);
  EXPECT_FALSE(*absent);
  EXPECT_THAT(rig.asked, IsEmpty()) << "containers go first";
  rig.up("runtime/oci");
  rig.loop.advance(1s);
  ASSERT_TRUE(*absent);
  EXPECT_THAT(rig.asked, ElementsAre("recover runtime/oci", "recover network/bridge", "recover volume/local"));
}

TEST_F(LeftoversTest, WhatDoesNotComeInTimeIsNamedAndToldWhenItComes) {
  rig.missing("runtime/oci", Outlook::kSoon);
  const auto absent = leave();
  rig.loop.advance(16s);
  ASSERT_TRUE(*absent);
  ASSERT_EQ((*absent)->size(), 1U);
  EXPECT_EQ((*absent)->front().name, "runtime/oci");
  EXPECT_THAT(rig.take_asked(), ElementsAre("recover network/bridge", "recover volume/local"));
  rig.up("runtime/oci");
  leftovers.check();
  rig.loop.advance(1s);
  EXPECT_THAT(rig.take_asked(), ElementsAre("recover runtime/oci", "recover network/bridge", "recover volume/local"))
      << "the others may have kept what its containers used";
}

TEST_F(LeftoversTest, ACrashLoopIsNotWaitedFor) {
  rig.missing("runtime/oci", Outlook::kLater);
  const auto absent = leave();
  rig.loop.run_ready();
  ASSERT_TRUE(*absent);
  EXPECT_EQ((*absent)->size(), 1U);
}

TEST_F(LeftoversTest, OutsideOfASwarmEveryIncarnationIsToldOnce) {
  rig.missing("runtime/oci", Outlook::kSoon);
  leftovers.check();
  rig.loop.advance(100ms);
  EXPECT_THAT(rig.asked, IsEmpty());
  rig.up("runtime/oci");
  leftovers.check();
  rig.loop.advance(1s);
  EXPECT_THAT(rig.take_asked(), ElementsAre("recover runtime/oci", "recover network/bridge", "recover volume/local"));
  leftovers.check();
  rig.loop.advance(1min);
  EXPECT_THAT(rig.take_asked(), IsEmpty());
  rig.up("volume/local");
  leftovers.check();
  rig.loop.advance(1s);
  EXPECT_THAT(rig.take_asked(), ElementsAre("recover volume/local"));
}

TEST_F(LeftoversTest, OneThatFailsIsToldAgainAndOneWithoutRecoverIsNot) {
  rig.errors["network/bridge"] = Error{Code::kInternal, "the kernel says no"};
  rig.errors["volume/local"] = Error{Code::kUnimplemented, "no such method"};
  leftovers.check();
  rig.loop.advance(20s);
  EXPECT_EQ(rig.take_asked().size(), 3U);
  rig.errors.clear();
  rig.loop.advance(20s);
  EXPECT_THAT(rig.take_asked(), ElementsAre("recover network/bridge"));
  rig.loop.advance(1min);
  EXPECT_THAT(rig.take_asked(), IsEmpty());
}

TEST_F(LeftoversTest, ASwarmThatBeginsWaitsForWhatIsUnderWayAndStopsTheRest) {
  rig.missing("volume/other", Outlook::kSoon);
  leftovers.check();
  bool begun = false;
  leftovers.pause([&] { begun = true; });
  EXPECT_TRUE(begun) << "nobody was told yet";
  rig.loop.advance(1min);
  EXPECT_THAT(rig.take_asked(), IsEmpty());

  rig.absent.clear();
  rig.silent["network/bridge"] = true;
  rig.errors["network/bridge"] = Error{Code::kInternal, "the kernel says no"};
  leftovers.check();
  rig.loop.advance(1s);
  begun = false;
  leftovers.pause([&] { begun = true; });
  rig.loop.advance(1s);
  EXPECT_FALSE(begun) << "a driver still removes";
  rig.waiting.front()();
  rig.loop.advance(1s);
  EXPECT_TRUE(begun);
  rig.take_asked();
  rig.loop.advance(1min);
  EXPECT_THAT(rig.take_asked(), IsEmpty()) << "in a swarm the node side says what is in use";
}

}  // namespace
}  // namespace skep::agentd
