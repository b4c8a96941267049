#include "core/agentd/renewal_timer.h"

#include <algorithm>
#include <utility>

namespace skep::agentd {

namespace {
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kNotSooner = 1s;    // however old a new certificate is
}  // namespace

bool out_of_date(const link::CertificateFacts& facts, WallTime now) {
  return now < facts.not_before || now > facts.not_after;
}

void RenewalTimer::follow(const link::CertificateFacts& facts) {
  facts_ = facts;
  renew_at_ = link::renewal_time(facts, env_.random);
  const Duration left(renew_at_ - env_.clock.wall_now());
  stop();
  timer_ = env_.loop.run_after(std::clamp(left, kNotSooner, kLook), [this] { look(); });
}

void RenewalTimer::look() {
  const WallTime now = env_.clock.wall_now();
  if (now >= renew_at_ || out_of_date(facts_, now)) {
    timer_ = 0;
    return due_();
  }
  timer_ = env_.loop.run_after(std::min(Duration(renew_at_ - now), kLook), [this] { look(); });
}

void RenewalTimer::in(Duration wait) {
  stop();
  timer_ = env_.loop.run_after(wait, [this] {
    timer_ = 0;
    due_();
  });
}

void RenewalTimer::stop() { env_.loop.cancel_timer(std::exchange(timer_, 0)); }

}  // namespace skep::agentd
