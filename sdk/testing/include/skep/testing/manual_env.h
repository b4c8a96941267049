#pragma once

// A world a test holds in its hand: time moves when told, randomness has a seed, the disk is memory
// that can lose unsynced writes, fail and fill up. Single-threaded. The simulator is built on these.

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "skep/env.h"

namespace skep::testing {

/// A virtual clock and loop in one: events ordered by (time, sequence).
class ManualLoop final : public Loop, public Clock {
 public:
  void post(std::function<void()> work) override;
  TimerId run_after(Duration delay, std::function<void()> work) override;
  void cancel_timer(TimerId id) override;
  /// Fds do not exist here; use fakes above this level. Aborts.
  WatchId watch_readable(int fd, std::function<void()> ready) override;
  WatchId watch_writable(int fd, std::function<void()> ready) override;
  void unwatch(WatchId id) override;
  TimePoint now() override { return now_; }
  WallTime wall_now() override { return wall_start_ + (now_ - TimePoint{}).count() + wall_jump_; }

  /// Runs everything due now, also what that posts. Aborts after 10 million steps: a live-lock.
  void run_ready();
  /// Moves time on, running every event at its own time.
  void advance(Duration by);
  /// Runs the next event, moving time to it. False when there is none.
  bool step();
  /// Advances until `done()`, at most by `limit`; whether it became true.
  bool run_until(const std::function<bool()>& done, Duration limit);
  void jump_wall_clock(Duration by) { wall_jump_ += by.count(); }
  [[nodiscard]] std::size_t pending() const { return work_.size(); }
  /// Drops every event, as the end of a process does.
  void clear();

 private:
  using Due = std::pair<TimePoint, TimerId>;
  /// The next event that was not cancelled; nullptr when there is none.
  const Due* next();

  TimePoint now_{};
  WallTime wall_start_ = 1'700'000'000'000'000'000;
  std::int64_t wall_jump_ = 0;
  TimerId next_id_ = 1;
  std::vector<Due> heap_;  // earliest first; a cancelled event stays until its time comes
  std::unordered_map<TimerId, std::function<void()>> work_;  // looked up, never walked
};

/// xoshiro256** from a seed.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed);
  std::uint64_t next() override;
  std::string bytes(std::size_t size) override;
  /// True with probability `percent` / 100.
  bool chance(std::uint64_t percent) { return below(100) < percent; }

 private:
  std::uint64_t state_[4];
};

/// Runs work at once and posts `done` to the loop, after `delay` when one is set.
class InlineWorkers final : public Workers {
 public:
  explicit InlineWorkers(Loop& loop) : loop_(loop) {}
  Status run(std::function<void()> work, std::function<void()> done) override;
  Duration delay{0};

 private:
  Loop& loop_;
};

/// Files in memory with a page cache: crash() forgets what was not synced.
class MemoryDisk final : public Disk {
 public:
  MemoryDisk();
  ~MemoryDisk() override;
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Result<std::string> read_file(const std::string& path) override;
  Status write_file_atomic(const std::string& path, std::string_view data, int mode) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status remove_tree(const std::string& path) override;
  Status make_directories(const std::string& path, int mode) override;
  Result<std::vector<std::string>> list_directory(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::uint64_t> free_bytes(const std::string& path) override;

  /// Power loss: of every file's unsynced writes a random subset survives, the last one perhaps
  /// torn; unsynced names (creations, renames, removals) are lost or kept as a prefix. Open files
  /// answer errors afterwards.
  void crash(Random& random);
  /// The n-th mutating call from now (1 = the next) answers `error`; 0 = none.
  void fail_call(std::uint64_t n, Error error);
  /// Whether the injected failure has happened.
  [[nodiscard]] bool failed() const;
  /// Mutating calls so far (write, sync, truncate, rename, ...).
  [[nodiscard]] std::uint64_t calls() const;
  /// Bytes the disk holds at most; writes beyond it answer kResourceExhausted "DISK_FULL".
  void set_capacity(std::uint64_t bytes);
  /// Changes one byte of the stored content.
  void corrupt(const std::string& path, std::uint64_t offset, unsigned char xor_with);
  /// Current content, synced or not; nullopt-like empty when there is none.
  [[nodiscard]] std::string content(const std::string& path) const;
  /// Whether all of it would survive a crash.
  [[nodiscard]] bool is_synced(const std::string& path) const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

/// Answers run() from a function; nothing is ever started.
class FakeSubprocess final : public Subprocess {
 public:
  std::function<Result<ProcessResult>(const ProcessSpec&)> on_run;
  Result<ProcessResult> run(const ProcessSpec& spec, Duration deadline) override;
  Result<Child> start(const ProcessSpec& spec) override;
};

/// All of it with an Env over it.
struct ManualEnv {
  explicit ManualEnv(std::uint64_t seed = 1) : random(seed) {}
  ManualLoop loop;
  SeededRandom random;
  MemoryDisk disk;
  FakeSubprocess subprocess;
  InlineWorkers workers{loop};
  Env env{loop, random, loop, workers, disk, subprocess};
};

}  // namespace skep::testing
