#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/pluginhost/manifest.h"

namespace skep::host {
namespace {

using testing::HasSubstr;

Manifest with_config() {
  Manifest manifest;
  manifest.id = "a";
  manifest.config["text"] = {.type = "string", .default_value = "x", .description = "", .secret = false};
  manifest.config["count"] = {.type = "int", .default_value = "", .description = "", .secret = false};
  manifest.config["on"] = {.type = "bool", .default_value = "true", .description = "", .secret = false};
  manifest.config["limit"] = {.type = "duration", .default_value = "", .description = "", .secret = false};
  manifest.config["room"] = {.type = "size", .default_value = "", .description = "", .secret = false};
  manifest.config["key"] = {.type = "int", .default_value = "", .description = "", .secret = true};
  return manifest;
}

TEST(CheckConfig, FillsInDefaultsAndKeepsWhatIsGiven) {
  auto config = check_config(with_config(), {{"on", "false"}, {"limit", "5s"}, {"room", "10m"}, {"count", "-3"}});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_THAT(*config, testing::ElementsAre(testing::Pair("count", "-3"), testing::Pair("limit", "5s"),
                                            testing::Pair("on", "false"), testing::Pair("room", "10m"),
                                            testing::Pair("text", "x")));
}

TEST(CheckConfig, RefusesValuesOfAnotherType) {
  const std::vector<std::pair<std::string, std::string>> table{
      {"count", ""},   {"count", "3x"}, {"count", "99999999999999999999"}, {"on", "yes"},  {"limit", "5"},
      {"limit", "5d"}, {"limit", "-5s"}, {"room", "-1"},                   {"room", "3q"}, {"room", "m"},
  };
  for (const auto& [key, value] : table) {
    auto config = check_config(with_config(), {{key, value}});
    ASSERT_FALSE(config) << key << "=" << value;
    EXPECT_THAT(config.error().message, HasSubstr("plugin 'a': setting '" + key + "' must be of type "));
    EXPECT_THAT(config.error().message, HasSubstr("and is '" + value + "'"));
  }
}

TEST(CheckConfig, DoesNotRepeatASecret) {
  auto config = check_config(with_config(), {{"key", "hunter2"}});
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, testing::Not(HasSubstr("hunter2")));
}

TEST(CheckConfig, NamesTheNearestKey) {
  auto near = check_config(with_config(), {{"limt", "5s"}});
  ASSERT_FALSE(near);
  EXPECT_EQ(near.error().message, "plugin 'a' has no setting 'limt'; did you mean 'limit'?");
  auto far = check_config(with_config(), {{"something-else", "1"}});
  ASSERT_FALSE(far);
  EXPECT_THAT(far.error().message, HasSubstr("see `agentctl plugin inspect a`"));
  Manifest empty;
  empty.id = "b";
  auto none = check_config(empty, {{"x", "1"}});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("it has none at all"));
}

}  // namespace
}  // namespace skep::host
