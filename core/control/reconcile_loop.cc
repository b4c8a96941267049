#include "core/control/reconcile_loop.h"

#include <algorithm>
#include <chrono>

namespace skep::control {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only

namespace {
constexpr Duration kRetryPauseMin = 50ms;
constexpr Duration kRetryPauseMax = 2s;
/// Wall clocks jump: never sleep longer than this towards a wall time.
constexpr Duration kTimerMax = 30s;
}  // namespace

ReconcileLoop::ReconcileLoop(LoopContext context)
    : context_(context),
      committer_(context.proposer, [this](Committer::Outcome outcome) { on_done(outcome); }),
      self_(std::make_shared<ReconcileLoop*>(this)) {}

ReconcileLoop::~ReconcileLoop() {
  if (timer_ != 0) {
    context_.env.loop.cancel_timer(timer_);
  }
}

void ReconcileLoop::start() {
  leading_since_ = context_.env.clock.wall_now();
  running_ = true;
  mark_all();
  wake();
}

void ReconcileLoop::stop() {
  running_ = false;
  committer_.stop();
  if (timer_ != 0) {
    context_.env.loop.cancel_timer(timer_);
    timer_ = 0;
    timer_due_.reset();
  }
}

void ReconcileLoop::wake() {
  dirty_ = true;
  if (!running_ || posted_ || !committer_.idle()) {
    return;  // on_done() looks at dirty_.
  }
  const TimePoint now = context_.env.loop.now();
  if (now < next_run_) {
    arm(next_run_ - now);
    return;
  }
  posted_ = true;
  context_.env.loop.post([weak = std::weak_ptr(self_)] {
    if (const auto self = weak.lock()) {
      (*self)->posted_ = false;
      (*self)->run();
    }
  });
}

void ReconcileLoop::run() {
  if (!running_ || !dirty_ || !committer_.idle()) {
    return;
  }
  dirty_ = false;
  next_run_ = context_.env.loop.now() + debounce();
  const WallTime now = context_.env.clock.wall_now();
  Decision decision = reconcile(now);
  if (decision.wake_at) {
    arm(std::clamp(Duration(*decision.wake_at - now), Duration(1ms), kTimerMax));
  }
  committer_.submit(std::move(decision.units));
}

void ReconcileLoop::on_done(Committer::Outcome outcome) {
  if (outcome == Committer::Outcome::kCommitted) {
    retry_pause_ = Duration{0};
  } else {
    last_round_failed();
    dirty_ = true;
  }
  if (outcome == Committer::Outcome::kRetryLater) {
    retry_pause_ = std::clamp(retry_pause_ * 2, kRetryPauseMin, kRetryPauseMax);
    next_run_ = context_.env.loop.now() + retry_pause_;
  }
  if (dirty_) {
    wake();
  }
}

void ReconcileLoop::arm(Duration delay) {
  const TimePoint due = context_.env.loop.now() + delay;
  if (timer_due_ && *timer_due_ <= due) {
    return;
  }
  if (timer_ != 0) {
    context_.env.loop.cancel_timer(timer_);
  }
  timer_due_ = due;
  timer_ = context_.env.loop.run_after(delay, [weak = std::weak_ptr(self_)] {
    if (const auto self = weak.lock()) {
      (*self)->timer_ = 0;
      (*self)->timer_due_.reset();
      (*self)->wake();
    }
  });
}

}  // namespace skep::control
