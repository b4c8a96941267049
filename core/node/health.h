#pragma once

// When a container's health check is run and what its results mean, as Docker does it: failures
// within the start period do not count, the first success ends it, `retries` failures in a row mean
// unhealthy. Pure; health_probe.h runs the command.

#include <string>

#include "skep/env.h"
#include "skep/model.pb.h"

namespace skep::node {

class HealthMonitor {
 public:
  enum class Verdict { kUndecided, kHealthy, kUnhealthy };

  /// `check` is an effective one: every duration set. `healthy_before`: it had its first success.
  HealthMonitor(model::v1::HealthCheck check, bool healthy_before, TimePoint now);

  [[nodiscard]] TimePoint next_probe() const { return next_; }
  [[nodiscard]] Duration timeout() const { return Duration(check_.timeout()); }
  /// argv of the probe: CMD's words, or /bin/sh -c for CMD-SHELL.
  [[nodiscard]] std::vector<std::string> command() const;
  /// A probe ended. `failure` empty: it succeeded.
  Verdict on_result(const std::string& failure, TimePoint now);
  /// For an unhealthy verdict: what the last probe said.
  [[nodiscard]] std::string why() const;

 private:
  [[nodiscard]] bool in_start_period(TimePoint now) const;

  model::v1::HealthCheck check_;
  TimePoint started_;
  TimePoint next_;
  bool healthy_once_;
  std::uint32_t failures_ = 0;  ///< in a row
  std::string last_failure_;
};

}  // namespace skep::node
