#pragma once

// The host's "skep.loop/1" as a skep::Loop. Whatever runs on it is a plugin's code entered from the
// host, so every callback is guarded against exceptions.

#include <functional>
#include <memory>
#include <unordered_map>

#include "skep/abi.h"
#include "skep/env.h"

namespace skep {

/// Runs `work`; what it throws is logged as an error of `where`.
void run_guarded(const char* where, const std::function<void()>& work) noexcept;

class HostLoop final : public Loop {
 public:
  HostLoop(const skep_loop_v1* host, Clock& clock);
  ~HostLoop() override;
  HostLoop(const HostLoop&) = delete;
  HostLoop& operator=(const HostLoop&) = delete;

  void post(std::function<void()> work) override;
  TimerId run_after(Duration delay, std::function<void()> work) override;
  void cancel_timer(TimerId id) override;
  WatchId watch_readable(int fd, std::function<void()> ready) override { return watch(fd, 1, std::move(ready)); }
  WatchId watch_writable(int fd, std::function<void()> ready) override { return watch(fd, 2, std::move(ready)); }
  void unwatch(WatchId id) override;
  TimePoint now() override { return clock_.now(); }

  /// [loop] Drops timers, watches and posted work: nothing of the plugin runs afterwards.
  void close();

 private:
  struct Callback;
  WatchId watch(int fd, std::uint32_t events, std::function<void()> ready);

  const skep_loop_v1* host_;
  Clock& clock_;
  std::shared_ptr<bool> open_ = std::make_shared<bool>(true);  // read and written on the loop only
  std::unordered_map<TimerId, std::unique_ptr<Callback>> timers_;
  std::unordered_map<WatchId, std::unique_ptr<Callback>> watches_;
};

}  // namespace skep
