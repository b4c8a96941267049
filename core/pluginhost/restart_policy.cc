#include "core/pluginhost/restart_policy.h"

#include <algorithm>

namespace skep::host {

Duration RestartPolicy::on_end(TimePoint now, End end, Random& random) {
  for (auto* times : {&ends_, &kills_}) {
    while (!times->empty() && now - times->front() > kWindow) {
      times->pop_front();
    }
  }
  if (end == End::kKilled && kills_.size() < kKillsAtOnce) {
    kills_.push_back(now);
    return kFirstDelay;
  }
  const std::size_t before = ends_.size();
  ends_.push_back(now);
  if (before == 0) {
    return kFirstDelay;
  }
  const std::size_t doublings = std::min<std::size_t>(before - 1, 7);
  const Duration delay = std::min(kLongestDelay, kSecondDelay * (std::int64_t{1} << doublings));
  const auto percent = static_cast<std::int64_t>(80 + random.below(41));
  return delay * percent / 100;
}

bool RestartPolicy::crash_loop(TimePoint now) const {
  const auto recent = std::count_if(ends_.begin(), ends_.end(),
                                    [&](TimePoint end) { return now - end <= kWindow; });
  return static_cast<std::size_t>(recent) >= kCrashLoopEnds;
}

}  // namespace skep::host
