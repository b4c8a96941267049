#pragma once

// When a node asks for its next certificate. That is a time of the wall clock, which may be set: a clock that was far
// behind when the certificate was signed, and is put right, lets it expire at once. So the clock is looked at again and
// again. Loop thread only.

#include <functional>
#include <optional>

#include "core/link/certificate.h"
#include "skep/env.h"

namespace skep::agentd {

/// Nobody accepts it at that time: it expired, or is not valid yet.
bool out_of_date(const link::CertificateFacts& facts, WallTime now);

class RenewalTimer {
 public:
  static constexpr Duration kLook = std::chrono::seconds{10};

  /// `due` is called once; then follow() or in() plan the next time. `env` outlives this object.
  RenewalTimer(Env& env, std::function<void()> due) : env_(env), due_(std::move(due)) {}
  ~RenewalTimer() { stop(); }
  RenewalTimer(const RenewalTimer&) = delete;
  RenewalTimer& operator=(const RenewalTimer&) = delete;

  /// When that certificate is to be replaced (link::renewal_time), and within kLook once it is out of date. While it is
  /// good, not before a twentieth of its life has passed since the last one was asked for: in the eyes of a clock that
  /// is far ahead every new certificate is old.
  void follow(const link::CertificateFacts& facts);
  /// In that time, whatever the certificate.
  void in(Duration wait);
  void stop();
  [[nodiscard]] bool waits() const { return timer_ != 0; }

 private:
  void look();
  void fire();

  Env& env_;
  const std::function<void()> due_;
  link::CertificateFacts facts_;
  WallTime renew_at_ = 0;
  TimePoint earliest_{};  ///< of our own clock, which nobody sets
  std::optional<TimePoint> asked_;
  TimerId timer_ = 0;
};

}  // namespace skep::agentd
