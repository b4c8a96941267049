#include "host_loop.h"

#include <exception>
#include <utility>

#include "skep/log.h"

namespace skep {

struct HostLoop::Callback {
  HostLoop* loop;
  std::uint64_t id;
  // Shared, because a callback may cancel itself while it runs.
  std::shared_ptr<std::function<void()>> work;
};

namespace {
struct Posted {
  std::shared_ptr<bool> open;
  std::function<void()> work;
};
}  // namespace

void run_guarded(const char* where, const std::function<void()>& work) noexcept {
  try {
    work();
  } catch (const std::exception& thrown) {
    SKEP_ERROR("the plugin threw an exception", {"where", where}, {"what", thrown.what()});
  } catch (...) {
    SKEP_ERROR("the plugin threw an unknown exception", {"where", where});
  }
}

HostLoop::HostLoop(const skep_loop_v1* host, Clock& clock) : host_(host), clock_(clock) {}

HostLoop::~HostLoop() {
  close();
}

void HostLoop::post(std::function<void()> work) {
  auto posted = std::make_unique<Posted>(Posted{open_, std::move(work)});
  host_->post(
      host_->self,
      [](void* arg) {
        const std::unique_ptr<Posted> mine(static_cast<Posted*>(arg));
        if (*mine->open) {
          run_guarded("posted work", mine->work);
        }
      },
      [](void* arg) { delete static_cast<Posted*>(arg); }, posted.release());
}

TimerId HostLoop::run_after(Duration delay, std::function<void()> work) {
  auto callback = std::make_unique<Callback>(
      Callback{this, 0, std::make_shared<std::function<void()>>(std::move(work))});
  const TimerId id = host_->run_after(
      host_->self, delay.count(),
      [](void* arg) {
        auto* const fired = static_cast<Callback*>(arg);
        const auto work_kept = fired->work;
        fired->loop->timers_.erase(fired->id);
        run_guarded("timer", *work_kept);
      },
      callback.get());
  callback->id = id;
  timers_.emplace(id, std::move(callback));
  return id;
}

void HostLoop::cancel_timer(TimerId id) {
  if (timers_.contains(id)) {
    host_->cancel_timer(host_->self, id);
    timers_.erase(id);
  }
}

WatchId HostLoop::watch(int fd, std::uint32_t events, std::function<void()> ready) {
  auto callback = std::make_unique<Callback>(
      Callback{this, 0, std::make_shared<std::function<void()>>(std::move(ready))});
  const WatchId id = host_->watch_fd(
      host_->self, fd, events,
      [](void* arg) {
        const auto work_kept = static_cast<Callback*>(arg)->work;
        run_guarded("fd watch", *work_kept);
      },
      callback.get());
  callback->id = id;
  watches_.emplace(id, std::move(callback));
  return id;
}

void HostLoop::unwatch(WatchId id) {
  if (watches_.contains(id)) {
    host_->unwatch(host_->self, id);
    watches_.erase(id);
  }
}

void HostLoop::close() {
  *open_ = false;
  const auto timers = std::exchange(timers_, {});
  for (const auto& [id, callback] : timers) {
    host_->cancel_timer(host_->self, id);
  }
  const auto watches = std::exchange(watches_, {});
  for (const auto& [id, callback] : watches) {
    host_->unwatch(host_->self, id);
  }
}

}  // namespace skep
