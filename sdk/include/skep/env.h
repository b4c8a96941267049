#pragma once

// Env: everything a component may ask of the world. Production binds it to the real machine
// (posix_env.h), tests and the simulator to a seeded one. Code below these interfaces is the only
// code that may read a clock, draw randomness, touch a disk or start a process.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"

namespace skep {

using Duration = std::chrono::nanoseconds;
/// Monotonic time since an arbitrary start; compare only within one Env.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;
/// Nanoseconds since 1970-01-01 UTC; for people and records, never for timeouts.
using WallTime = std::int64_t;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() = 0;
  virtual WallTime wall_now() = 0;
};

class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;
  /// `size` unpredictable bytes (a CSPRNG in production).
  virtual std::string bytes(std::size_t size) = 0;
  /// Uniform in [0, bound); bound >= 1.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
};

using TimerId = std::uint64_t;
using WatchId = std::uint64_t;

/// One thread's event loop. All calls but post() belong to that thread.
class Loop {
 public:
  virtual ~Loop() = default;
  /// [any thread] Runs `work` on the loop, in order of posting. Work posted after the loop ended
  /// is destroyed without being run.
  virtual void post(std::function<void()> work) = 0;
  /// Runs `work` once after `delay`. Ids are never zero and never reused.
  virtual TimerId run_after(Duration delay, std::function<void()> work) = 0;
  /// Unknown or fired ids are ignored.
  virtual void cancel_timer(TimerId id) = 0;
  /// Calls `ready` whenever `fd` is readable (level-triggered). The caller keeps owning the fd and
  /// unwatches before it closes it.
  virtual WatchId watch_readable(int fd, std::function<void()> ready) = 0;
  virtual WatchId watch_writable(int fd, std::function<void()> ready) = 0;
  virtual void unwatch(WatchId id) = 0;
  virtual TimePoint now() = 0;
};

/// Runs blocking work away from the loop: `work` on some worker thread, then `done` on the loop.
/// At most a fixed number run at once; at most 1,024 wait (then kResourceExhausted).
class Workers {
 public:
  virtual ~Workers() = default;
  virtual Status run(std::function<void()> work, std::function<void()> done) = 0;
};

/// An open file. Closed by its destructor. Offsets are explicit; there is no cursor.
class File {
 public:
  virtual ~File() = default;
  /// Up to `size` bytes from `offset`; shorter only at the end of the file.
  virtual Result<std::string> read(std::uint64_t offset, std::size_t size) = 0;
  virtual Status write(std::uint64_t offset, std::string_view data) = 0;
  /// Data and size reach stable storage. After one error the file must not be trusted again.
  virtual Status sync() = 0;
  virtual Status truncate(std::uint64_t size) = 0;
  /// Reserves blocks, so that later writes need no new ones.
  virtual Status allocate(std::uint64_t size) = 0;
  virtual Result<std::uint64_t> size() = 0;
};

enum class OpenMode { kRead, kReadWrite, kCreate /* read-write, made when missing */ };

/// Paths are absolute. Errors carry the path.
class Disk {
 public:
  virtual ~Disk() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual Result<std::string> read_file(const std::string& path) = 0;
  /// Whole new content or the old one, also after a power loss: temp file, sync, rename, sync dir.
  virtual Status write_file_atomic(const std::string& path, std::string_view data, int mode) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  /// kNotFound when there is none.
  virtual Status remove(const std::string& path) = 0;
  virtual Status remove_tree(const std::string& path) = 0;
  /// Makes missing parents too; an existing directory is success.
  virtual Status make_directories(const std::string& path, int mode) = 0;
  virtual Result<std::vector<std::string>> list_directory(const std::string& path) = 0;
  virtual Status sync_directory(const std::string& path) = 0;
  virtual bool exists(const std::string& path) = 0;
  /// Bytes an unprivileged writer can still use on the file system of `path`.
  virtual Result<std::uint64_t> free_bytes(const std::string& path) = 0;
};

struct ProcessSpec {
  std::vector<std::string> argv;              ///< argv[0] is looked up in PATH when it has no '/'
  std::vector<std::string> environment = {};  ///< NAME=value; empty means a minimal PATH only
  std::string directory = {};
  std::string stdin_data = {};
  std::size_t output_max = 1 << 20;  ///< bytes kept of each of stdout and stderr
  /// fds to pass: {ours, number in the child}.
  std::vector<std::pair<int, int>> fds = {};
  bool new_session = false;
};

struct ProcessResult {
  int exit_code = 0;  ///< 128 + signal when a signal ended it
  std::string out;
  std::string err;
};

/// Starts programs with posix_spawn; never through a shell.
class Subprocess {
 public:
  virtual ~Subprocess() = default;
  /// Blocks (worker threads only) until the program ended. kTimeout: it was killed at the deadline.
  /// kNotFound: there is no such program. A non-zero exit is a value, not an error.
  virtual Result<ProcessResult> run(const ProcessSpec& spec, Duration deadline) = 0;
  /// Starts and does not wait; the caller reaps through the pidfd (which it owns) and waitid.
  struct Child {
    int pid = 0;
    int pidfd = -1;
  };
  virtual Result<Child> start(const ProcessSpec& spec) = 0;
};

/// References stay valid as long as the component that was given them.
struct Env {
  Clock& clock;
  Random& random;
  Loop& loop;
  Workers& workers;
  Disk& disk;
  Subprocess& subprocess;
};

}  // namespace skep
