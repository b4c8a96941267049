#pragma once

// What one simulated process has of the world: a loop that dies with it, its own randomness and disk.

#include <memory>

#include "skep/testing/manual_env.h"

namespace skep::sim {

/// Forwards to the world's loop; after kill() nothing that was posted or timed runs any more.
class ProcessLoop final : public Loop {
 public:
  explicit ProcessLoop(testing::ManualLoop& world) : world_(world) {}
  void post(std::function<void()> work) override { world_.post(guard(std::move(work))); }
  TimerId run_after(Duration delay, std::function<void()> work) override {
    return world_.run_after(delay, guard(std::move(work)));
  }
  void cancel_timer(TimerId id) override { world_.cancel_timer(id); }
  WatchId watch_readable(int fd, std::function<void()> ready) override {
    return world_.watch_readable(fd, std::move(ready));
  }
  WatchId watch_writable(int fd, std::function<void()> ready) override {
    return world_.watch_writable(fd, std::move(ready));
  }
  void unwatch(WatchId id) override { world_.unwatch(id); }
  TimePoint now() override { return world_.now(); }

  void kill() { alive_ = std::make_shared<bool>(true); }

 private:
  std::function<void()> guard(std::function<void()> work) {
    return [weak = std::weak_ptr<bool>(alive_), work = std::move(work)] {
      if (!weak.expired()) {
        work();
      }
    };
  }
  testing::ManualLoop& world_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

/// The Env of one machine's agent.
struct Process {
  Process(testing::ManualLoop& world, std::uint64_t seed) : loop(world), random(seed), clock(world) {}
  ProcessLoop loop;
  testing::SeededRandom random;
  testing::MemoryDisk disk;
  testing::FakeSubprocess subprocess;
  testing::InlineWorkers workers{loop};
  Clock& clock;
  Env env{clock, random, loop, workers, disk, subprocess};
};

}  // namespace skep::sim
