#include "tests/rig/plugin_loop.h"

#include <gtest/gtest.h>

namespace skep::rig {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only

class PluginLoopTest : public ::testing::Test {
 protected:
  void note(const std::string& what) {
    const auto at = std::chrono::duration_cast<std::chrono::milliseconds>(world.now() - TimePoint{});
    happened += what + "@" + std::to_string(at.count()) + " ";
  }
  testing::ManualLoop world;
  Process process{world, 1};
  PluginLoop plugin{world, process};
  std::string happened;
};

TEST_F(PluginLoopTest, WhatFallsDueWhileItIsBusyWaitsInOrderAndTheProcessGoesOn) {
  plugin.post([this] {
    plugin.busy_for(100ms);
    plugin.busy_for(200ms);
    EXPECT_EQ(plugin.now() - world.now(), 300ms) << "its clock shows when it is done";
    plugin.run_after(5ms, [this] { note("timer"); });
    plugin.post([this] { note("posted"); });
  });
  plugin.run_after(50ms, [this] { note("first"); });
  plugin.run_after(60ms, [this] { note("second"); });
  const TimerId cancelled = plugin.run_after(70ms, [this] { note("cancelled"); });
  process.loop.run_after(80ms, [this] { note("core"); });
  world.advance(200ms);
  plugin.cancel_timer(cancelled);
  world.advance(1s);
  EXPECT_EQ(happened, "core@80 first@300 second@300 posted@300 timer@305 ");
}

TEST_F(PluginLoopTest, BusyOnceMoreInWhatWaitedItHoldsTheRest) {
  plugin.post([this] { plugin.busy_for(100ms); });
  plugin.run_after(10ms, [this] {
    note("first");
    plugin.busy_for(50ms);
  });
  plugin.run_after(20ms, [this] { note("second"); });
  world.advance(1s);
  EXPECT_EQ(happened, "first@100 second@150 ");
}

TEST_F(PluginLoopTest, StopsAndDiesWithItsProcess) {
  plugin.post([this] { plugin.busy_for(100ms); });
  plugin.run_after(10ms, [this] { note("held"); });
  world.advance(50ms);
  process.loop.pause();
  world.advance(150ms);
  EXPECT_EQ(happened, "");
  process.loop.resume();
  world.run_ready();
  EXPECT_EQ(happened, "held@200 ");
  plugin.run_after(10ms, [this] { note("never"); });
  plugin.kill();
  world.advance(1s);
  EXPECT_EQ(happened, "held@200 ");
}

}  // namespace
}  // namespace skep::rig
