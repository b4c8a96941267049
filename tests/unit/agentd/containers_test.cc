#include "core/agentd/containers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/unit/agentd/driver_rig.h"

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Outlook = DriverRig::Outlook;
using Answer = std::optional<Result<agent::v1::ListContainersResponse>>;

class ContainersTest : public ::testing::Test {
 protected:
  ContainersTest() {
    rig.up("runtime/process");
    rig.up("volume/local");
  }
  std::shared_ptr<Answer> ask(bool all = true) {
    auto answer = std::make_shared<Answer>();
    containers.list(all, [answer](auto result) { *answer = std::move(result); });
    return answer;
  }
  DriverRig rig;
  Containers containers{rig.env, *rig.caller, rig.view()};
};

TEST_F(ContainersTest, WaitForARuntimeThatStarts) {
  rig.missing("runtime/oci", Outlook::kSoon);
  rig.missing("volume/other", Outlook::kSoon);
  const auto answer = ask();
  rig.loop.advance(3s);
  EXPECT_FALSE(*answer) << "an empty list would be a lie";
  rig.up("runtime/oci");
  rig.loop.advance(1s);
  ASSERT_TRUE(*answer && **answer);
  EXPECT_EQ((**answer)->containers_size(), 2);
  EXPECT_EQ((**answer)->containers(0).runtime(), "oci");
}

TEST_F(ContainersTest, OneThatDoesNotComeIsAnErrorAndNotAnEmptyList) {
  rig.missing("runtime/oci", Outlook::kSoon);
  const auto answer = ask();
  rig.loop.advance(11s);
  ASSERT_TRUE(*answer && !**answer);
  EXPECT_EQ((*answer)->error().code, Code::kUnavailable);
  EXPECT_EQ((*answer)->error().message,
            "the containers of 'runtime/oci' are not known now: plugin 'oci' is starting; try again, or do without it: "
            "`agentctl plugin disable oci`");
}

TEST_F(ContainersTest, ACrashLoopIsToldAtOnce) {
  rig.missing("runtime/oci", Outlook::kLater);
  const auto answer = ask();
  ASSERT_TRUE(*answer && !**answer);
  EXPECT_EQ((*answer)->error().reason, "RUNTIME_NOT_READY");
}

TEST_F(ContainersTest, OneThatCannotStartIsLeftOutAsLongAsAnotherRuns) {
  rig.missing("runtime/oci", Outlook::kNone);
  const auto some = ask();
  rig.loop.advance(1s);
  ASSERT_TRUE(*some && **some);
  EXPECT_EQ((**some)->containers_size(), 1);
  rig.down("runtime/process");
  const auto none = ask();
  rig.loop.advance(1s);
  ASSERT_TRUE(*none && !**none);
  EXPECT_THAT((*none)->error().message, HasSubstr("the containers of 'runtime/oci' are not known"));
}

TEST_F(ContainersTest, OneThatEndsWhileItIsAskedIsAskedAgain) {
  rig.errors["runtime/process"] = Error{Code::kUnavailable, "gone"};
  const auto answer = ask();
  rig.loop.advance(1s);
  EXPECT_FALSE(*answer);
  rig.errors.clear();
  rig.loop.advance(1s);
  ASSERT_TRUE(*answer && **answer);
  EXPECT_EQ((**answer)->containers_size(), 1);
  rig.errors["runtime/process"] = Error{Code::kInternal, "no disk"};
  const auto never = ask();
  rig.loop.advance(11s);
  ASSERT_TRUE(*never && !**never);
  EXPECT_THAT((*never)->error().message, HasSubstr("'runtime/process' does not list its containers: no disk"));
}

TEST_F(ContainersTest, OnlyThoseThatRunUnlessAllAreAsked) {
  const auto answer = ask(false);
  rig.loop.advance(1s);
  ASSERT_TRUE(*answer && **answer);
  EXPECT_EQ((**answer)->containers_size(), 0);
}

}  // namespace
}  // namespace skep::agentd
