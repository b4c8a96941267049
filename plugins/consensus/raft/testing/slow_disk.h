#pragma once

// A memory disk whose syncs take time, and a clock that goes on by that while the loop's events wait for nobody. Test
// use only.

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "skep/testing/manual_env.h"

namespace skep::raft {

/// The loop's time plus what the disk took. Only for measuring: timers go by the loop.
class DiskClock final : public Clock {
 public:
  explicit DiskClock(testing::ManualLoop& loop) : loop_(loop) {}
  TimePoint now() override { return loop_.now() + taken_; }
  WallTime wall_now() override { return loop_.wall_now(); }
  void take(Duration time) { taken_ += time; }

 private:
  testing::ManualLoop& loop_;
  Duration taken_{0};
};

class SlowDisk final : public Disk {
 public:
  SlowDisk(testing::MemoryDisk& disk, DiskClock& clock)
      : SlowDisk(disk, [&clock](Duration time) { clock.take(time); }) {}
  /// `take` is told of every sync that takes time, before it.
  SlowDisk(testing::MemoryDisk& disk, std::function<void(Duration)> take) : disk_(disk), take_(std::move(take)) {}
  Duration sync_takes{0};

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    SKEP_TRY_ASSIGN(auto file, disk_.open(path, mode));
    return std::unique_ptr<File>(std::make_unique<SlowFile>(*this, std::move(file)));
  }
  Result<std::string> read_file(const std::string& path) override { return disk_.read_file(path); }
  Status write_file_atomic(const std::string& path, std::string_view data, int mode) override {
    return disk_.write_file_atomic(path, data, mode);
  }
  Status rename(const std::string& from, const std::string& to) override { return disk_.rename(from, to); }
  Status remove(const std::string& path) override { return disk_.remove(path); }
  Status remove_tree(const std::string& path) override { return disk_.remove_tree(path); }
  Status make_directories(const std::string& path, int mode) override {
    return disk_.make_directories(path, mode);
  }
  Result<std::vector<std::string>> list_directory(const std::string& path) override {
    return disk_.list_directory(path);
  }
  Status sync_directory(const std::string& path) override { return disk_.sync_directory(path); }
  bool exists(const std::string& path) override { return disk_.exists(path); }
  Result<std::uint64_t> free_bytes(const std::string& path) override { return disk_.free_bytes(path); }

 private:
  class SlowFile final : public File {
   public:
    SlowFile(SlowDisk& disk, std::unique_ptr<File> file) : disk_(disk), file_(std::move(file)) {}
    Result<std::string> read(std::uint64_t offset, std::size_t size) override { return file_->read(offset, size); }
    Status write(std::uint64_t offset, std::string_view data) override { return file_->write(offset, data); }
    Status sync() override {
      if (disk_.sync_takes > Duration{0}) {
        disk_.take_(disk_.sync_takes);
      }
      return file_->sync();
    }
    Status truncate(std::uint64_t size) override { return file_->truncate(size); }
    Status allocate(std::uint64_t size) override { return file_->allocate(size); }
    Result<std::uint64_t> size() override { return file_->size(); }

   private:
    SlowDisk& disk_;
    const std::unique_ptr<File> file_;
  };
  testing::MemoryDisk& disk_;
  const std::function<void(Duration)> take_;
};

}  // namespace skep::raft
