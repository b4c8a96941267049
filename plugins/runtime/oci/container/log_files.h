#pragma once

// The files of one container's log and reading them in order, across rotation. conmon writes
// DIR/container.log; a rotated file is renamed once, to container.log.000001 and so on, and keeps
// that name until it is deleted: a name that never changes its meaning is what makes following
// through a rotation safe. Blocking: worker threads only.

#include <cstdint>
#include <string>
#include <vector>

#include "plugins/runtime/oci/container/fd.h"
#include "skep/result.h"

namespace skep::oci {

inline constexpr const char* kLogName = "container.log";

/// Numbers of the rotated files in `directory`, oldest first.
std::vector<std::uint64_t> rotated_logs(const std::string& directory);
std::string rotated_log_path(const std::string& directory, std::uint64_t number);

struct LogLimits {
  std::int64_t size_max = 0;
  std::uint32_t files_max = 0;  ///< the one being written included
};

/// Rotates when container.log is larger than allowed: rename, tell conmon through its `ctl` pipe,
/// await the new file, delete the oldest. Returns the size of container.log found. No line is lost:
/// until conmon has reopened, it writes to the renamed file.
Result<std::uint64_t> rotate_log(const std::string& directory, const std::string& ctl_path,
                                 const LogLimits& limits);

/// Reads all files oldest to newest as one text. After the end of container.log it stays there and
/// goes on when more is written or the file is rotated away.
class LogReader {
 public:
  explicit LogReader(std::string directory) : directory_(std::move(directory)) {}

  /// Begins so that `lines` whole lines follow. Reads backwards in blocks: memory does not depend
  /// on the size of the log.
  Status seek_tail(std::uint64_t lines);
  /// Begins with the oldest file.
  Status seek_start();
  /// Whole records, at most about `size` bytes (one record may be larger, up to 1 MiB); empty at
  /// the end of what is written.
  Result<std::string> read(std::size_t size);

 private:
  Result<bool> open_next();
  Status open_file(const std::string& path);
  bool is_sealed();

  std::string directory_;
  UniqueFd file_;
  std::uint64_t inode_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t number_ = 0;  ///< of the rotated file being read; 0: container.log
  std::uint64_t done_ = 0;    ///< highest rotated number that was read to its end
  bool sealed_ = false;       ///< conmon does not write to this file any more
  std::string half_;          ///< a record whose LF is not written yet
};

}  // namespace skep::oci
