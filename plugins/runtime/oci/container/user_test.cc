#include "plugins/runtime/oci/container/user.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skep::oci {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "# comment:x:5:5\n"
    "broken line\n"
    "web:x:1001:1002::/srv/web:/bin/sh\n"
    "10:x:2000:2000::/ten:/bin/sh\n";
constexpr const char* kGroup = "root:x:0:\nweb:x:1002:\nextra:x:1003:other,web\nbad:x:y:\n";

TEST(User, EmptyIsRoot) {
  const auto user = resolve_user("", {}, kPasswd, kGroup);
  EXPECT_EQ(user->uid, 0U);
  EXPECT_EQ(user->home, "/root");
  EXPECT_EQ(resolve_user("", {}, "", "")->home, "/") << "an image without passwd";
}

TEST(User, NamesBringGroups) {
  const auto user = resolve_user("web", {}, kPasswd, kGroup);
  EXPECT_EQ(user->uid, 1001U);
  EXPECT_EQ(user->gid, 1002U);
  EXPECT_THAT(user->groups, ElementsAre(1003));
  EXPECT_EQ(user->home, "/srv/web");
}

TEST(User, AnExplicitGroupReplacesThem) {
  const auto user = resolve_user("web:root", {"extra", "77"}, kPasswd, kGroup);
  EXPECT_EQ(user->gid, 0U);
  EXPECT_THAT(user->groups, ElementsAre(1003, 77));
  EXPECT_THAT(resolve_user("1001:55", {}, kPasswd, kGroup)->groups, IsEmpty());
}

TEST(User, NumbersNeedNoEntry) {
  const auto user = resolve_user("4711", {}, kPasswd, kGroup);
  EXPECT_EQ(user->uid, 4711U);
  EXPECT_EQ(user->gid, 0U);
  EXPECT_EQ(resolve_user("1001", {}, kPasswd, kGroup)->gid, 1002U);
  EXPECT_EQ(resolve_user("10", {}, kPasswd, kGroup)->uid, 2000U) << "a name made of digits wins";
}

TEST(User, UnknownNamesAndSillyNumbersAreRefused) {
  EXPECT_EQ(resolve_user("nobody-here", {}, kPasswd, kGroup).error().reason, "UNKNOWN_USER");
  EXPECT_EQ(resolve_user("web:nogroup-here", {}, kPasswd, kGroup).error().reason, "UNKNOWN_GROUP");
  EXPECT_EQ(resolve_user("4294967295", {}, kPasswd, kGroup).error().reason, "UNKNOWN_USER");
  EXPECT_EQ(resolve_user("-1", {}, kPasswd, kGroup).error().reason, "UNKNOWN_USER");
  EXPECT_EQ(resolve_user("web", {"none"}, kPasswd, kGroup).error().reason, "UNKNOWN_GROUP");
}

}  // namespace
}  // namespace skep::oci
