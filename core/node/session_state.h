#pragma once

// The pure parts of a session: how long to wait before the next try, which assignments follow each
// other, and which statuses managers have not acknowledged yet.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "skep/dispatch.pb.h"
#include "skep/env.h"

namespace skep::node {

/// Exponential back-off with full jitter: 100 ms, then (100 ms + twice) up to 8 s, and the delay is
/// anywhere between nothing and that.
class BackOff {
 public:
  Duration next(Random& random);
  void reset() { longest_ = Duration(0); }

 private:
  Duration longest_{0};
};

/// Puts the parts of assignment messages together and checks that none is missing.
class AssignmentTracker {
 public:
  struct Assignments {
    bool complete = false;  ///< what it does not name must go
    std::vector<model::v1::Task> tasks;
    std::vector<std::string> removed_tasks;
  };
  /// nullopt: more parts follow. kConflict: something was missed, ask for everything again.
  Result<std::optional<Assignments>> take(const dispatch::v1::AssignmentsMessage& message);
  /// A message that came in fragments may have so many bytes: no object is larger by far.
  static constexpr std::size_t kFragmentedBytesMax = 8 << 20;
  /// A new stream begins.
  void reset();

 private:
  Result<std::optional<Assignments>> take_whole(const dispatch::v1::AssignmentsMessage& message);

  std::string fragments_;  ///< of a message larger than a chunk, as far as it came
  std::string sequence_;  ///< of the last message that was complete; empty: none yet
  std::optional<dispatch::v1::AssignmentsMessage> parts_;
};

/// Latest status of each task, until a manager acknowledged it. Size: bounded by the node's tasks.
class StatusQueue {
 public:
  void note(const std::string& task_id, const model::v1::TaskStatus& status);
  /// A batch ends with the update that makes it larger than this: drivers tell errors of any length, and a request
  /// of more than 16 MiB would not be taken, again and again.
  static constexpr std::size_t kBatchBytes = 1 << 20;
  /// At most `limit` updates; they stay queued until acknowledged.
  [[nodiscard]] std::vector<dispatch::v1::TaskStatusUpdate> batch(std::size_t limit) const;
  /// Forgets what nobody waits for any more.
  void keep(const std::function<bool(const std::string& task_id)>& wanted) {
    std::erase_if(pending_, [&](const auto& entry) { return !wanted(entry.first); });
  }
  /// A newer status of the same task stays.
  void acknowledge(const std::vector<dispatch::v1::TaskStatusUpdate>& updates);
  [[nodiscard]] bool empty() const { return pending_.empty(); }

 private:
  std::map<std::string, model::v1::TaskStatus> pending_;
};

}  // namespace skep::node
