#include "core/agentd/config.h"

#include <gtest/gtest.h>

namespace skep::agentd {
namespace {

/// What is wrong with a configuration; empty: nothing.
std::string complaint(std::string_view text) {
  Config config;
  const auto status = parse_config(text, "agentd.toml", config);
  return status ? "" : status.error().message;
}

TEST(Configuration, ChoicesTakeTheirWordsAndKeepTheirDefaults) {
  Config config;
  ASSERT_TRUE(parse_config("", "f", config));
  EXPECT_EQ(config.on_stop, OnStop::kKeepTasks);
  EXPECT_EQ(config.log_level, LogLevel::kInfo);
  ASSERT_TRUE(parse_config("on_stop = 'drain'\nlog_level = 'error'", "f", config));
  EXPECT_EQ(config.on_stop, OnStop::kDrain);
  EXPECT_EQ(config.log_level, LogLevel::kError);
  ASSERT_TRUE(parse_config("labels = { zone = 'east' }", "conf.d/later.toml", config));
  EXPECT_EQ(config.on_stop, OnStop::kDrain) << "a file that says nothing of it changes nothing";
  ASSERT_TRUE(parse_config("on_stop = 'keep'", "conf.d/last.toml", config));
  EXPECT_EQ(config.on_stop, OnStop::kKeepTasks);
}

TEST(Configuration, AWrongChoiceNamesFileLineAndTheWords) {
  EXPECT_EQ(complaint("on_stop = 'drained'"),
            "agentd.toml:1: 'on_stop' is 'drained'; it must be keep or drain");
  EXPECT_EQ(complaint("\non_stop = ''"), "agentd.toml:2: 'on_stop' is ''; it must be keep or drain");
  EXPECT_EQ(complaint("on_stop = true"), "agentd.toml:1: 'on_stop' must be a string");
  EXPECT_EQ(complaint("log_level = 'loud'"),
            "agentd.toml:1: 'log_level' is 'loud'; it must be trace, debug, info, warn or error");
  EXPECT_NE(complaint("onstop = 'drain'").find("did you mean 'on_stop'"), std::string::npos);
}

}  // namespace
}  // namespace skep::agentd
