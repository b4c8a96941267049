#include "core/node/health.h"

namespace skep::node {

HealthMonitor::HealthMonitor(model::v1::HealthCheck check, bool healthy_before, TimePoint now)
    : check_(std::move(check)), started_(now), next_(now), healthy_once_(healthy_before) {
  next_ = now + Duration(in_start_period(now) ? check_.start_interval() : check_.interval());
}

bool HealthMonitor::in_start_period(TimePoint now) const {
  return !healthy_once_ && now - started_ < Duration(check_.start_period());
}

std::vector<std::string> HealthMonitor::command() const {
  if (check_.test(0) == "CMD-SHELL") {
    return {"/bin/sh", "-c", check_.test(1)};
  }
  return {check_.test().begin() + (check_.test(0) == "CMD" ? 1 : 0), check_.test().end()};
}

HealthMonitor::Verdict HealthMonitor::on_result(const std::string& failure, TimePoint now) {
  if (failure.empty()) {
    failures_ = 0;
    const bool first = !healthy_once_;
    healthy_once_ = true;
    next_ = now + Duration(check_.interval());
    return first ? Verdict::kHealthy : Verdict::kUndecided;
  }
  last_failure_ = failure;
  const bool starting = in_start_period(now);
  next_ = now + Duration(starting ? check_.start_interval() : check_.interval());
  if (starting) {
    return Verdict::kUndecided;
  }
  return ++failures_ >= check_.retries() ? Verdict::kUnhealthy : Verdict::kUndecided;
}

std::string HealthMonitor::why() const {
  return "health check failed " + std::to_string(failures_) +
         (failures_ == 1 ? " time: " : " times in a row: ") + last_failure_;
}

}  // namespace skep::node
