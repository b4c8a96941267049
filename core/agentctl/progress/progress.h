#pragma once

// Decides what a person who waits for a service is told, and when the waiting ends. Pure: service,
// tasks and the time in; lines out. Rule (Docker's): every wanted task runs the newest
// specification, and goes on doing so for the monitor period.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "skep/env.h"
#include "skep/model.pb.h"
#include "skep/result.h"

namespace skep::ctl {

/// One slot's line: "2/3: preparing", with its share of the way to running.
struct SlotLine {
  std::string label;  ///< "2/3", or a node's id for global services
  std::string state;  ///< "" while there is no task
  int stage = 0;      ///< 0..kStages
  std::string error = {};
  bool operator==(const SlotLine&) const = default;
};
inline constexpr int kStages = 9;

struct ProgressView {
  std::string overall;    ///< "overall progress: 1 out of 3 tasks"
  std::string note = {};  ///< of an update that is rolled back
  std::vector<SlotLine> slots = {};
  std::string verify = {};  ///< "" until all run
  /// Set when the waiting ends: success, or why the service did not get there.
  std::optional<Status> outcome = {};
};

class ServiceProgress {
 public:
  /// `rolling_back`: the person asked for a rollback, so its completion is success.
  /// `before`: how updates stood when the change was made. A rollback of an earlier update that is told
  /// there is over and not ours.
  ServiceProgress(bool rolling_back, const model::v1::UpdateStatus& before)
      : rolling_back_(rolling_back), earlier_(before.started_at()) {}
  ProgressView update(const model::v1::Service& service, const std::vector<model::v1::Task>& tasks,
                      TimePoint now);

 private:
  ProgressView count(const model::v1::Service& service, const std::vector<model::v1::Task>& tasks,
                     bool& converged) const;
  ProgressView count_job(const model::v1::Service& service,
                         const std::vector<model::v1::Task>& tasks) const;

  bool rolling_back_;
  std::int64_t earlier_;  // wall time at which the earlier update began; 0: none
  bool saw_rollback_ = false;
  std::optional<TimePoint> converged_at_;
};

/// Turns views into output. On a terminal the block is drawn again in place, else every change is
/// one line.
class ProgressPrinter {
 public:
  ProgressPrinter(bool terminal, unsigned columns) : terminal_(terminal), columns_(columns) {}
  /// What to write so that the person sees `view`.
  std::string show(const ProgressView& view);

 private:
  std::string draw(const ProgressView& view);
  std::string lines(const ProgressView& view);

  bool terminal_;
  unsigned columns_;
  std::size_t drawn_ = 0;
  ProgressView shown_ = {};
  std::map<std::string, std::string> errors_ = {};
};

}  // namespace skep::ctl
