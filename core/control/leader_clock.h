#pragma once

// The wall clock that a leader stamps objects with and decides by. It begins with the machine's and
// follows it, but never jumps: it runs at most a tenth faster or slower than steady time, so a clock
// that is set ends no wait early and lets none last for ever. Loop thread only.

#include <algorithm>

#include "skep/env.h"

namespace skep::control {

class LeaderClock final : public Clock {
 public:
  /// `machine` outlives this object.
  explicit LeaderClock(Clock& machine) : machine_(machine) { set(); }

  TimePoint now() override { return machine_.now(); }
  WallTime wall_now() override {
    const TimePoint at = machine_.now();
    const WallTime elapsed = (at - read_at_).count();
    const WallTime steady = wall_ + elapsed;
    const WallTime slew_max = elapsed / kSlewShare;
    wall_ = steady + std::clamp(machine_.wall_now() - steady, -slew_max, slew_max);
    read_at_ = at;
    return wall_;
  }
  /// Takes the machine's time as it is: before this manager stamps anything.
  void set() {
    read_at_ = machine_.now();
    wall_ = machine_.wall_now();
  }

 private:
  static constexpr WallTime kSlewShare = 10;
  Clock& machine_;
  TimePoint read_at_{};
  WallTime wall_ = 0;
};

}  // namespace skep::control
