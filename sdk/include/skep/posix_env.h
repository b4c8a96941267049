#pragma once

// The real world behind Env: Linux, one object each. A Loop comes from elsewhere: core/base for
// agentd, the host's extension for a plugin.

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "skep/env.h"

namespace skep {

/// [any thread]
class PosixClock final : public Clock {
 public:
  TimePoint now() override;
  WallTime wall_now() override;
};

/// The kernel's CSPRNG. [any thread]
class PosixRandom final : public Random {
 public:
  std::uint64_t next() override;
  std::string bytes(std::size_t size) override;
};

/// [any thread] Files are opened O_CLOEXEC and never through a symlink's last component for writing.
class PosixDisk final : public Disk {
 public:
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
};

/// [any thread]
class PosixSubprocess final : public Subprocess {
 public:
  Result<ProcessResult> run(const ProcessSpec& spec, Duration deadline) override;
  Result<Child> start(const ProcessSpec& spec) override;
};

/// A fixed number of threads, started with the first work. The destructor lets running work end,
/// drops waiting work and joins; `done` is posted to the loop, which must outlive the pool.
class WorkerPool final : public Workers {
 public:
  WorkerPool(Loop& loop, std::size_t threads);
  ~WorkerPool() override;
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  Status run(std::function<void()> work, std::function<void()> done) override;
  /// Ends the threads; later run() calls answer kCancelled. Idempotent.
  void stop();

 private:
  struct Job {
    std::function<void()> work;
    std::function<void()> done;
  };
  void thread_main();

  Loop& loop_;
  const std::size_t threads_max_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;             // guarded by mutex_
  std::size_t idle_ = 0;             // guarded by mutex_
  bool stopping_ = false;            // guarded by mutex_
  std::vector<std::thread> threads_;  // guarded by mutex_
};

/// errno as an Error: "PATH: verb: No space left on device", with the fitting Code.
Error errno_error(int error_number, std::string_view what);

}  // namespace skep
