#pragma once

// The Loop of agentd and of every plugin thread: Boost.Asio's epoll behind skep::Loop. run() is
// called by the thread that owns it; stop() ends run() from any thread.

#include <memory>

#include "skep/env.h"

namespace skep::base {

class AsioLoop final : public Loop {
 public:
  AsioLoop();
  ~AsioLoop() override;
  AsioLoop(const AsioLoop&) = delete;
  AsioLoop& operator=(const AsioLoop&) = delete;

  void post(std::function<void()> work) override;
  TimerId run_after(Duration delay, std::function<void()> work) override;
  void cancel_timer(TimerId id) override;
  WatchId watch_readable(int fd, std::function<void()> ready) override;
  WatchId watch_writable(int fd, std::function<void()> ready) override;
  void unwatch(WatchId id) override;
  TimePoint now() override;

  /// Runs until stop(). What was posted before stop() still runs.
  void run();
  /// Waits at most `wait` for work and runs what is ready, for a bounded time; for synchronous clients
  /// (agentctl).
  void run_once(Duration wait);
  /// [any thread]
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skep::base
