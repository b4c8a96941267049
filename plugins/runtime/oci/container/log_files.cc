#include "plugins/runtime/oci/container/log_files.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include "plugins/runtime/oci/container/log_line.h"
#include "skep/posix_env.h"

namespace skep::oci {
namespace {

constexpr std::size_t kBlock = 64 * 1024;
constexpr std::size_t kRecordMax = 1 << 20;  // conmon cuts at 8 KiB; more is damage
constexpr std::size_t kHead = 64;            // time, stream and tag of a record
constexpr int kReopenPatienceMs = 2'000;

std::uint64_t inode_of(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

/// Reads exactly [offset, offset + size) or less at the end of the file.
Result<std::string> read_at(int fd, std::uint64_t offset, std::size_t size) {
  std::string out(size, '\0');
  std::size_t filled = 0;
  while (filled < size) {
    const ssize_t got = ::pread(fd, out.data() + filled, size - filled,
                                static_cast<off_t>(offset + filled));
    if (got < 0 && errno != EINTR) {
      return errno_error(errno, "container log: read");
    }
    if (got == 0) {
      break;
    }
    filled += got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  out.resize(filled);
  return out;
}

struct TailPoint {
  std::uint64_t offset = 0;
  std::uint64_t lines_left = 0;  ///< to be found in older files
};

/// Where the last `lines` lines of the file begin.
Result<TailPoint> find_tail(int fd, std::uint64_t size, std::uint64_t lines) {
  std::uint64_t end = size;       // of the part not looked at yet
  std::string head_after;         // the first bytes after `end`: a record's head may cross it
  std::uint64_t record_at = size;  // where the record looked at last begins
  while (end > 0) {
    const std::size_t length = static_cast<std::size_t>(std::min<std::uint64_t>(end, kBlock));
    SKEP_TRY_ASSIGN(const std::string block, read_at(fd, end - length, length));
    const std::string text = block + head_after;
    for (std::size_t i = block.size() + 1; i-- > 0;) {
      const bool begins = i == 0 ? end - length == 0 : text[i - 1] == '\n';
      const std::uint64_t position = end - length + i;
      if (!begins || position >= size) {
        continue;
      }
      if (ends_line(std::string_view(text).substr(i, kHead))) {
        if (lines == 0) {
          return TailPoint{record_at, 0};
        }
        --lines;
      }
      record_at = position;
    }
    head_after = text.substr(0, kHead);
    end -= length;
  }
  return TailPoint{0, lines};
}

}  // namespace

std::string rotated_log_path(const std::string& directory, std::uint64_t number) {
  std::array<char, 32> suffix{};
  std::snprintf(suffix.data(), suffix.size(), ".%06llu", static_cast<unsigned long long>(number));
  return directory + "/" + kLogName + suffix.data();
}

std::vector<std::uint64_t> rotated_logs(const std::string& directory) {
  const std::string prefix = std::string(kLogName) + ".";
  std::vector<std::uint64_t> numbers;
  const auto names = PosixDisk().list_directory(directory);
  for (const std::string& name : names ? *names : std::vector<std::string>()) {
    std::uint64_t number = 0;
    const char* const end = name.data() + name.size();
    if (name.starts_with(prefix) &&
        std::from_chars(name.data() + prefix.size(), end, number).ptr == end && number > 0) {
      numbers.push_back(number);
    }
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Result<std::uint64_t> rotate_log(const std::string& directory, const std::string& ctl_path,
                                 const LogLimits& limits) {
  const std::string path = directory + "/" + kLogName;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return std::uint64_t{0};  // a rotation that conmon has not answered yet
  }
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (info.st_size <= limits.size_max) {
    return size;
  }
  const UniqueFd ctl(::open(ctl_path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!ctl.valid()) {
    return size;  // conmon has ended: nothing more will be written
  }
  const auto rotated = rotated_logs(directory);
  const std::string target =
      rotated_log_path(directory, rotated.empty() ? 1 : rotated.back() + 1);
  if (::rename(path.c_str(), target.c_str()) != 0) {
    return errno_error(errno, path + ": rotate");
  }
  constexpr std::string_view kReopen = "2 0 0\n";
  if (::write(ctl.get(), kReopen.data(), kReopen.size()) != static_cast<ssize_t>(kReopen.size())) {
    ::rename(target.c_str(), path.c_str());
    return errno_error(errno, ctl_path + ": ask for a new log");
  }
  for (int waited = 0; inode_of(path) == 0 && waited < kReopenPatienceMs; waited += 2) {
    ::poll(nullptr, 0, 2);
  }
  const auto all = rotated_logs(directory);
  const std::size_t keep = limits.files_max > 0 ? limits.files_max - 1 : 0;
  for (std::size_t i = 0; i + keep < all.size(); ++i) {
    ::unlink(rotated_log_path(directory, all[i]).c_str());
  }
  return size;
}

Status LogReader::open_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0) {
    return errno_error(errno, path + ": open");
  }
  file_ = std::move(fd);
  inode_ = info.st_ino;
  offset_ = 0;
  sealed_ = false;
  return ok();
}

Status LogReader::seek_start() {
  file_.reset();
  done_ = 0;
  SKEP_TRY(open_next());
  return ok();
}

Status LogReader::seek_tail(std::uint64_t lines) {
  const auto rotated = rotated_logs(directory_);
  std::vector<std::pair<std::uint64_t, std::string>> files;
  for (const std::uint64_t number : rotated) {
    files.emplace_back(number, rotated_log_path(directory_, number));
  }
  files.emplace_back(0, directory_ + "/" + kLogName);
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    if (!open_file(file->second)) {
      continue;  // deleted meanwhile, or not made yet
    }
    struct stat info {};
    ::fstat(file_.get(), &info);
    SKEP_TRY_ASSIGN(const TailPoint point,
                    find_tail(file_.get(), static_cast<std::uint64_t>(info.st_size), lines));
    number_ = file->first;
    offset_ = point.offset;
    lines = point.lines_left;
    done_ = number_ == 0 ? (rotated.empty() ? 0 : rotated.back()) : number_ - 1;
    if (lines == 0) {
      break;
    }
  }
  return ok();
}

/// Opens what follows the file that was read to its end; false when there is nothing yet.
Result<bool> LogReader::open_next() {
  const std::string current = directory_ + "/" + kLogName;
  constexpr int kAttempts = 8;  // rotation may happen between looking and opening
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto rotated = rotated_logs(directory_);
    const auto next = std::upper_bound(rotated.begin(), rotated.end(), done_);
    if (next != rotated.end()) {
      if (open_file(rotated_log_path(directory_, *next))) {
        number_ = *next;
        return true;
      }
      continue;
    }
    if (!open_file(current)) {
      return false;
    }
    const auto again = rotated_logs(directory_);
    if (again.empty() || again.back() <= done_) {
      number_ = 0;
      return true;
    }
  }
  return Error{Code::kUnavailable, "the container's log rotates too fast to be read", "LOG_BUSY"};
}

bool LogReader::is_sealed() {
  const std::uint64_t current = inode_of(directory_ + "/" + kLogName);
  const auto rotated = rotated_logs(directory_);
  if (number_ != 0) {
    return current != 0 || (!rotated.empty() && number_ < rotated.back());
  }
  if (current == 0 || current == inode_) {
    return false;
  }
  for (const std::uint64_t number : rotated) {
    if (inode_of(rotated_log_path(directory_, number)) == inode_) {
      number_ = number;
    }
  }
  return true;  // number_ stays 0 when it is deleted already: the oldest that is left comes next
}

Result<std::string> LogReader::read(std::size_t size) {
  for (;;) {
    if (!file_.valid()) {
      SKEP_TRY_ASSIGN(const bool opened, open_next());
      if (!opened) {
        return std::string();
      }
    }
    SKEP_TRY_ASSIGN(std::string text, read_at(file_.get(), offset_, size));
    if (!text.empty()) {
      offset_ += text.size();
      half_ += text;
      const auto end = half_.rfind('\n');
      if (end == std::string::npos) {
        if (half_.size() > kRecordMax) {
          half_.clear();
        }
        continue;
      }
      text = half_.substr(0, end + 1);
      half_.erase(0, end + 1);
      return text;
    }
    if (!sealed_) {
      // conmon may write more until it has opened the next file: only what is read after that
      // moment is the end.
      sealed_ = is_sealed();
      if (!sealed_) {
        return std::string();
      }
      continue;
    }
    done_ = std::max(done_, number_);
    file_.reset();
    half_.clear();
  }
}

}  // namespace skep::oci
