#include "core/agentd/renewal_timer.h"

#include <algorithm>
#include <utility>

namespace skep::agentd {

namespace {
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kNotSooner = 1s;    // however old a new certificate is
constexpr WallTime kSharesOfLife = 20;
}  // namespace

bool out_of_date(const link::CertificateFacts& facts, WallTime now) {
  return now < facts.not_before || now > facts.not_after;
}

void RenewalTimer::follow(const link::CertificateFacts& facts) {
  facts_ = facts;
  renew_at_ = link::renewal_time(facts, env_.random);
  earliest_ = asked_ ? *asked_ + Duration((facts.not_after - facts.not_before) / kSharesOfLife) : TimePoint{};
  const Duration left(renew_at_ - env_.clock.wall_now());
  stop();
  timer_ = env_.loop.run_after(std::clamp(left, kNotSooner, kLook), [this] { look(); });
}

void RenewalTimer::look() {
  const WallTime now = env_.clock.wall_now();
  if (out_of_date(facts_, now) || (now >= renew_at_ && env_.clock.now() >= earliest_)) {
    return fire();
  }
  const Duration left = std::max(Duration(renew_at_ - now), earliest_ - env_.clock.now());
  timer_ = env_.loop.run_after(std::min(left, kLook), [this] { look(); });
}

void RenewalTimer::fire() {
  timer_ = 0;
  asked_ = env_.clock.now();
  due_();
}

void RenewalTimer::in(Duration wait) {
  stop();
  timer_ = env_.loop.run_after(wait, [this] { fire(); });
}

void RenewalTimer::stop() { env_.loop.cancel_timer(std::exchange(timer_, 0)); }

}  // namespace skep::agentd
