#pragma once

// When a plugin that ended may start again (pure). The first restart is at once, so that one crash
// costs less than two seconds; then the delay doubles. Five crashes in ten minutes are a crash loop: it
// keeps trying at the longest delay, and the driver counts as unhealthy on this node meanwhile. Being
// killed by somebody else (an operator, the kernel short of memory) says nothing about the plugin: it
// starts again at once, thirty times in ten minutes, before that counts as crashing too.

#include <deque>

#include "skep/env.h"

namespace skep::host {

class RestartPolicy {
 public:
  static constexpr Duration kFirstDelay = std::chrono::milliseconds(100);
  static constexpr Duration kSecondDelay = std::chrono::seconds(1);
  static constexpr Duration kLongestDelay = std::chrono::minutes(2);
  static constexpr Duration kWindow = std::chrono::minutes(10);
  static constexpr std::size_t kCrashLoopEnds = 5;

  static constexpr std::size_t kKillsAtOnce = 30;
  enum class End { kCrashed, kKilled };

  /// The plugin ended at `now`; how long to wait. `random` spreads the delay by +-20 %.
  Duration on_end(TimePoint now, End end, Random& random);
  [[nodiscard]] bool crash_loop(TimePoint now) const;

 private:
  // Within the window, oldest first.
  std::deque<TimePoint> ends_;
  std::deque<TimePoint> kills_;
};

}  // namespace skep::host
