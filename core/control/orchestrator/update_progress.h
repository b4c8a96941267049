#pragma once

// How far an update has come, measured from the tasks of the service. Internal to the updater.

#include <string>
#include <vector>

#include "core/control/orchestrator/slot.h"

namespace skep::control {

struct Progress {
  std::vector<Slot*> dirty;       ///< still to be replaced; slots that run nothing come first
  std::size_t in_flight = 0;      ///< slots being replaced now, or within the delay after it
  std::size_t attempted = 0;      ///< slots whose replacement came to run or to its end
  std::size_t waiting = 0;        ///< of in_flight: not attempted yet
  std::size_t failed = 0;         ///< slots whose replacement failed within the monitor time
  WallTime last_attempt = 0;      ///< when the last replacement came to run or to its end
  std::string failed_task;        ///< id of a failed one
  std::string failure;            ///< what it said

  /// Slots the update is about; at least 1.
  [[nodiscard]] std::size_t total() const {
    return std::max<std::size_t>(dirty.size() + attempted + waiting, 1);
  }
};

Progress measure_progress(const ServiceContext& context, Slots& slots,
                          const pb::UpdateConfig& config, Decision& decision);

}  // namespace skep::control
