#include "core/base/asio_loop.h"

#include <fcntl.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <unordered_map>

namespace skep::base {

namespace asio = boost::asio;

namespace {

/// After this a run_once() starts no further handler: a flood that makes work as fast as it is done must
/// not keep its caller, who has a deadline or a signal to look at.
constexpr Duration kTurnMax = std::chrono::milliseconds(20);

/// One watch. It owns a duplicate of the caller's fd: asio registers an fd with epoll once, and a
/// read and a write watch of one fd may live side by side.
struct Watch {
  Watch(asio::io_context& io, int own_fd) : descriptor(io, own_fd) {}
  asio::posix::stream_descriptor descriptor;
  asio::posix::stream_descriptor::wait_type events{};
  std::function<void()> ready;
  bool removed = false;
};

void arm(const std::shared_ptr<Watch>& watch) {
  watch->descriptor.async_wait(watch->events, [watch](const boost::system::error_code& error) {
    if (error || watch->removed) {
      return;
    }
    watch->ready();
    if (!watch->removed) {
      arm(watch);
    }
  });
}

}  // namespace

struct AsioLoop::Impl {
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{io.get_executor()};
  std::uint64_t next_id = 1;
  std::unordered_map<TimerId, std::unique_ptr<asio::steady_timer>> timers;
  std::unordered_map<WatchId, std::shared_ptr<Watch>> watches;

  WatchId add_watch(int fd, asio::posix::stream_descriptor::wait_type events,
                    std::function<void()> ready) {
    const int own_fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    SKEP_ASSERT(own_fd >= 0, "an open fd can be duplicated");
    auto watch = std::make_shared<Watch>(io, own_fd);
    watch->events = events;
    watch->ready = std::move(ready);
    const WatchId id = next_id++;
    watches.emplace(id, watch);
    arm(watch);
    return id;
  }
};

AsioLoop::AsioLoop() : impl_(std::make_unique<Impl>()) {}

AsioLoop::~AsioLoop() {
  impl_->timers.clear();
  impl_->watches.clear();
}

void AsioLoop::post(std::function<void()> work) { asio::post(impl_->io, std::move(work)); }

TimerId AsioLoop::run_after(Duration delay, std::function<void()> work) {
  const TimerId id = impl_->next_id++;
  auto timer = std::make_unique<asio::steady_timer>(impl_->io);
  timer->expires_after(delay);
  timer->async_wait(
      [this, id, work = std::move(work)](const boost::system::error_code& error) mutable {
        // cancel_timer() may come after the timer fired but before this ran: the map decides.
        if (!error && impl_->timers.erase(id) > 0) {
          work();
        }
      });
  impl_->timers.emplace(id, std::move(timer));
  return id;
}

void AsioLoop::cancel_timer(TimerId id) { impl_->timers.erase(id); }

WatchId AsioLoop::watch_readable(int fd, std::function<void()> ready) {
  return impl_->add_watch(fd, asio::posix::stream_descriptor::wait_read, std::move(ready));
}

WatchId AsioLoop::watch_writable(int fd, std::function<void()> ready) {
  return impl_->add_watch(fd, asio::posix::stream_descriptor::wait_write, std::move(ready));
}

void AsioLoop::unwatch(WatchId id) {
  const auto it = impl_->watches.find(id);
  if (it == impl_->watches.end()) {
    return;
  }
  it->second->removed = true;
  boost::system::error_code ignored;
  it->second->descriptor.close(ignored);
  impl_->watches.erase(it);
}

TimePoint AsioLoop::now() {
  return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
}

void AsioLoop::run() { impl_->io.run(); }

void AsioLoop::run_once(Duration wait) {
  impl_->io.restart();
  impl_->io.run_one_for(wait);
  const TimePoint end = now() + kTurnMax;
  while (now() < end && impl_->io.poll_one() != 0) {
  }
}

void AsioLoop::stop() {
  post([this] { impl_->io.stop(); });
}

}  // namespace skep::base
