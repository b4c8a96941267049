#include "core/model/names.h"

#include <set>

#include <gtest/gtest.h>

#include "core/model/codes.h"
#include "core/model/ids.h"
#include "core/model/image_ref.h"
#include "core/model/task_state.h"
#include "skep/testing/manual_env.h"

namespace skep::model {
namespace {

TEST(Ids, HaveTheShapeOfSwarmKit) {
  testing::SeededRandom random(1);
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = new_id(random);
    EXPECT_TRUE(is_id(id)) << id;
    EXPECT_TRUE(seen.insert(id).second);
  }
  EXPECT_EQ(new_container_id(random).size(), 64U);
  EXPECT_FALSE(is_id("UPPER"));
}

TEST(Names, ServiceNamesAreDnsLabels) {
  EXPECT_TRUE(validate_service_name("web-1_a"));
  for (const std::string& name :
       {std::string(), std::string("-a"), std::string("a-"), std::string("a.b"), std::string("a b"),
        std::string(64, 'a')}) {
    EXPECT_FALSE(validate_service_name(name)) << name;
  }
  EXPECT_TRUE(validate_service_name(std::string(63, 'a')));
}

TEST(Names, ConfigNamesMayHaveDots) {
  EXPECT_TRUE(validate_config_name("app.conf-1"));
  EXPECT_FALSE(validate_config_name(".conf"));
  EXPECT_FALSE(validate_config_name(std::string(65, 'a')));
}

TEST(Names, RandomNamesAreValidServiceNames) {
  testing::SeededRandom random(7);
  for (int i = 0; i < 500; ++i) {
    const std::string name = random_name(random);
    EXPECT_TRUE(validate_service_name(name)) << name;
    EXPECT_NE(name.find('_'), std::string::npos);
  }
}

TEST(Names, ReferenceFindsIdThenNameThenOnlyPrefix) {
  const std::vector<Named> all = {{"abc1", "web"}, {"abd2", "abc1x"}, {"xyz3", "ab"}};
  EXPECT_EQ(*resolve_reference("abc1", all, "service"), 0U);
  EXPECT_EQ(*resolve_reference("ab", all, "service"), 2U);  // exact name beats id prefixes
  EXPECT_EQ(*resolve_reference("xy", all, "service"), 2U);
  EXPECT_EQ(resolve_reference("a", all, "service").error().code, Code::kInvalidArgument);
  EXPECT_EQ(resolve_reference("q", all, "service").error().message, "service 'q' not found");
  EXPECT_FALSE(resolve_reference("", all, "service"));
}

TEST(Names, NaturalOrderComparesNumbers) {
  EXPECT_TRUE(natural_less("svc-2", "svc-10"));
  EXPECT_FALSE(natural_less("svc-10", "svc-2"));
  EXPECT_TRUE(natural_less("a", "b"));
  EXPECT_TRUE(natural_less("svc", "svc-1"));
  EXPECT_FALSE(natural_less("svc-01", "svc-01"));
  EXPECT_NE(natural_less("svc-01", "svc-1"), natural_less("svc-1", "svc-01"));
}

TEST(TaskStates, PrintAndParseEveryState) {
  for (const int number : {0, 64, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 800, 832}) {
    const auto state = parse_task_state(number);
    ASSERT_TRUE(state) << number;
    EXPECT_EQ(*parse_task_state(task_state_name(*state)), *state);
    EXPECT_EQ(is_terminal(*state), number > 512);
  }
  EXPECT_FALSE(parse_task_state(1));
  EXPECT_FALSE(parse_task_state("asleep"));
}

TEST(Codes, EveryCodeHasStatusAndExitCode) {
  for (int code = 1; code <= static_cast<int>(Code::kInternal); ++code) {
    EXPECT_GE(http_status(static_cast<Code>(code)), 400);
    EXPECT_NE(exit_code(static_cast<Code>(code)), 0);
    EXPECT_NE(exit_code(static_cast<Code>(code)), 2) << "2 means wrong usage";
  }
}

TEST(ImageRef, FillsInDockersDefaults) {
  EXPECT_EQ(parse_image_ref("busybox")->full(), "docker.io/library/busybox:latest");
  EXPECT_EQ(parse_image_ref("busybox")->familiar(), "busybox:latest");
  EXPECT_EQ(parse_image_ref("me/app:1")->full(), "docker.io/me/app:1");
  EXPECT_EQ(parse_image_ref("localhost:5000/a/b:1.2")->registry, "localhost:5000");
  const std::string digest = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(parse_image_ref("r.io/x@" + digest)->full(), "r.io/x@" + digest);
  for (const char* text : {"", "UPPER", "a//b", "a:", "a:-x", "a@sha256:zz", "/a", "a/", ":tag"}) {
    EXPECT_FALSE(parse_image_ref(text)) << text;
  }
}

}  // namespace
}  // namespace skep::model
