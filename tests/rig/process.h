#pragma once

// What one simulated process has of the world: a loop that can be paused and dies with it, its own
// wall clock, randomness and disk.

#include <deque>
#include <memory>
#include <utility>

#include "skep/testing/manual_env.h"

namespace skep::rig {

/// Forwards to the world's loop. After kill() nothing that was posted or timed runs any more; while
/// paused what falls due waits, in order.
class ProcessLoop final : public Loop {
 public:
  explicit ProcessLoop(testing::ManualLoop& world) : world_(world) {}
  void post(std::function<void()> work) override { (void)run_after(Duration{0}, std::move(work)); }
  TimerId run_after(Duration delay, std::function<void()> work) override {
    auto event = std::make_shared<Event>(Event{life_, 0, std::move(work)});
    event->id = world_.run_after(delay, [event] { run(event); });
    return event->id;
  }
  void cancel_timer(TimerId id) override {
    world_.cancel_timer(id);
    if (!life_->held.empty()) {
      std::erase_if(life_->held, [id](const auto& event) { return event->id == id; });
    }
  }
  WatchId watch_readable(int fd, std::function<void()> ready) override {
    return world_.watch_readable(fd, std::move(ready));
  }
  WatchId watch_writable(int fd, std::function<void()> ready) override {
    return world_.watch_writable(fd, std::move(ready));
  }
  void unwatch(WatchId id) override { world_.unwatch(id); }
  TimePoint now() override { return world_.now(); }

  void kill() { life_ = std::make_shared<Life>(); }
  /// As SIGSTOP and SIGCONT.
  void pause() { life_->paused = true; }
  void resume() {
    life_->paused = false;
    world_.post([weak = std::weak_ptr<Life>(life_)] { catch_up(weak); });
  }
  [[nodiscard]] bool paused() const { return life_->paused; }

 private:
  struct Event;
  struct Life {
    bool paused = false;
    std::deque<std::shared_ptr<Event>> held;
  };
  struct Event {
    std::weak_ptr<Life> life;
    TimerId id;
    std::function<void()> work;
  };
  static void run(const std::shared_ptr<Event>& event) {
    const auto life = event->life.lock();
    if (life == nullptr) {
      return;
    }
    if (life->paused || !life->held.empty()) {
      life->held.push_back(event);  // also behind what waits still
    } else {
      event->work();
    }
  }
  static void catch_up(const std::weak_ptr<Life>& weak) {
    while (const auto life = weak.lock()) {
      if (life->paused || life->held.empty()) {
        return;
      }
      const auto event = life->held.front();
      life->held.pop_front();
      event->work();
    }
  }
  testing::ManualLoop& world_;
  std::shared_ptr<Life> life_ = std::make_shared<Life>();
};

/// Steady time is the world's; the wall clock can be set.
class ProcessClock final : public Clock {
 public:
  explicit ProcessClock(testing::ManualLoop& world) : world_(world) {}
  TimePoint now() override { return world_.now(); }
  WallTime wall_now() override { return world_.wall_now() + jump_; }
  void jump_by(Duration by) { jump_ += by.count(); }
  void set_right() { jump_ = 0; }

 private:
  testing::ManualLoop& world_;
  WallTime jump_ = 0;
};

/// The Env of one machine's agent.
struct Process {
  Process(testing::ManualLoop& world, std::uint64_t seed) : loop(world), random(seed), clock(world) {}
  ProcessLoop loop;
  testing::SeededRandom random;
  testing::MemoryDisk disk;
  testing::FakeSubprocess subprocess;
  testing::InlineWorkers workers{loop};
  ProcessClock clock;
  Env env{clock, random, loop, workers, disk, subprocess};
};

}  // namespace skep::rig
