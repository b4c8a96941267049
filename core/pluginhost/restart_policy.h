#pragma once

// When a plugin that ended may start again (pure). The first restart is at once, so that one crash
// costs less than two seconds; then the delay doubles. Five ends in ten minutes are a crash loop: it
// keeps trying at the longest delay, and the driver counts as unhealthy on this node meanwhile.

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

  /// The plugin ended at `now`; how long to wait. `random` spreads the delay by +-20 %.
  Duration on_end(TimePoint now, Random& random);
  [[nodiscard]] bool crash_loop(TimePoint now) const;

 private:
  std::deque<TimePoint> ends_;  // within the window, oldest first
};

}  // namespace skep::host
