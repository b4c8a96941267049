#pragma once

// The thread of one plugin of a simulated process. It stops, dies and is paused with the process, and it can be busy by
// itself, as while its disk stores something: what falls due on it meanwhile waits, in order, and what it does behind
// that in the same event happens once it is done.

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "tests/rig/process.h"

namespace skep::rig {

/// Its clock shows the time at which the plugin is, which is ahead of the world's while it is busy.
class PluginLoop final : public Loop, public Clock {
 public:
  PluginLoop(testing::ManualLoop& world, Process& process) : world_(world), process_(process) {}

  void post(std::function<void()> work) override { (void)run_after(Duration{0}, std::move(work)); }
  TimerId run_after(Duration delay, std::function<void()> work) override {
    auto event = std::make_shared<Event>(Event{thread_, 0, std::move(work)});
    event->id = process_.loop.run_after(std::max(delay, Duration{0}) + ahead(), [event] { run(event); });
    return event->id;
  }
  void cancel_timer(TimerId id) override {
    process_.loop.cancel_timer(id);
    if (!thread_->held.empty()) {
      std::erase_if(thread_->held, [id](const auto& event) { return event->id == id; });
    }
  }
  WatchId watch_readable(int fd, std::function<void()> ready) override {
    return process_.loop.watch_readable(fd, std::move(ready));
  }
  WatchId watch_writable(int fd, std::function<void()> ready) override {
    return process_.loop.watch_writable(fd, std::move(ready));
  }
  void unwatch(WatchId id) override { process_.loop.unwatch(id); }
  TimePoint now() override { return world_.now() + ahead(); }
  WallTime wall_now() override { return process_.clock.wall_now() + ahead().count(); }

  /// What runs now takes so much longer.
  void busy_for(Duration time) {
    thread_->until = now() + time;
    process_.loop.run_after(ahead(), [weak = std::weak_ptr<Thread>(thread_)] { catch_up(weak); });
  }
  /// How long it is still busy.
  [[nodiscard]] Duration ahead() const { return std::max(thread_->until - world_.now(), Duration{0}); }
  /// Nothing that waits runs any more.
  void kill() { thread_ = std::make_shared<Thread>(Thread{world_, {}, {}}); }

 private:
  struct Event;
  struct Thread {
    testing::ManualLoop& world;
    TimePoint until{};
    std::deque<std::shared_ptr<Event>> held;
  };
  struct Event {
    std::weak_ptr<Thread> thread;
    TimerId id;
    std::function<void()> work;
  };
  static void run(const std::shared_ptr<Event>& event) {
    const auto thread = event->thread.lock();
    if (thread == nullptr) {
      return;
    }
    if (thread->world.now() < thread->until || !thread->held.empty()) {
      thread->held.push_back(event);
    } else {
      event->work();
    }
  }
  static void catch_up(const std::weak_ptr<Thread>& weak) {
    while (const auto thread = weak.lock()) {
      if (thread->world.now() < thread->until || thread->held.empty()) {
        return;
      }
      const auto event = thread->held.front();
      thread->held.pop_front();
      event->work();
    }
  }

  testing::ManualLoop& world_;
  Process& process_;
  std::shared_ptr<Thread> thread_ = std::make_shared<Thread>(Thread{world_, {}, {}});
};

}  // namespace skep::rig
