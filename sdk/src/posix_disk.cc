#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "skep/posix_env.h"

namespace skep {
namespace {

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override { ::close(fd_); }

  Result<std::string> read(std::uint64_t offset, std::size_t size) override {
    std::string out(size, '\0');
    std::size_t filled = 0;
    while (filled < size) {
      const ssize_t got = ::pread(fd_, out.data() + filled, size - filled,
                                  static_cast<off_t>(offset + filled));
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0) {
        return errno_error(errno, path_ + ": read");
      }
      if (got == 0) {
        break;
      }
      filled += static_cast<std::size_t>(got);
    }
    out.resize(filled);
    return out;
  }

  Status write(std::uint64_t offset, std::string_view data) override {
    while (!data.empty()) {
      const ssize_t put = ::pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
      if (put < 0 && errno == EINTR) {
        continue;
      }
      if (put < 0) {
        return errno_error(errno, path_ + ": write");
      }
      offset += static_cast<std::uint64_t>(put);
      data.remove_prefix(static_cast<std::size_t>(put));
    }
    return ok();
  }

  Status sync() override { return check(::fdatasync(fd_), "sync"); }
  Status truncate(std::uint64_t size) override {
    return check(::ftruncate(fd_, static_cast<off_t>(size)), "truncate");
  }
  Status allocate(std::uint64_t size) override {
    const int error = ::posix_fallocate(fd_, 0, static_cast<off_t>(size));
    return error == 0 ? ok() : Status(errno_error(error, path_ + ": reserve space"));
  }
  Result<std::uint64_t> size() override {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) {
      return errno_error(errno, path_ + ": stat");
    }
    return static_cast<std::uint64_t>(info.st_size);
  }

 private:
  Status check(int result, std::string_view verb) {
    return result == 0 ? ok() : Status(errno_error(errno, path_ + ": " + std::string(verb)));
  }
  int fd_;
  std::string path_;
};

std::string parent_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Result<std::unique_ptr<File>> PosixDisk::open(const std::string& path, OpenMode mode) {
  int flags = O_CLOEXEC;
  switch (mode) {
    case OpenMode::kRead:
      flags |= O_RDONLY;
      break;
    case OpenMode::kReadWrite:
      flags |= O_RDWR | O_NOFOLLOW;
      break;
    case OpenMode::kCreate:
      flags |= O_RDWR | O_CREAT | O_NOFOLLOW;
      break;
  }
  const int fd = ::open(path.c_str(), flags, 0600);
  if (fd < 0) {
    return errno_error(errno, path + ": open");
  }
  return std::unique_ptr<File>(std::make_unique<PosixFile>(fd, path));
}

Result<std::string> PosixDisk::read_file(const std::string& path) {
  SKEP_TRY_ASSIGN(const auto file, open(path, OpenMode::kRead));
  std::string out;
  constexpr std::size_t kChunk = 64 * 1024;
  for (;;) {
    SKEP_TRY_ASSIGN(std::string part, file->read(out.size(), kChunk));
    out += part;
    if (part.size() < kChunk) {
      return out;
    }
  }
}

Status PosixDisk::write_file_atomic(const std::string& path, std::string_view data, int mode) {
  // The name is unique per thread, so two writers of one path never share a temporary file.
  const std::string temporary = path + ".tmp" + std::to_string(::gettid());
  const int fd = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                        static_cast<mode_t>(mode));
  if (fd < 0) {
    return errno_error(errno, temporary + ": create");
  }
  PosixFile file(fd, temporary);
  Status status = ::fchmod(fd, static_cast<mode_t>(mode)) == 0
                      ? file.write(0, data)
                      : Status(errno_error(errno, temporary + ": chmod"));
  if (status) {
    status = file.sync();
  }
  if (status) {
    status = rename(temporary, path);
  }
  if (!status) {
    ::unlink(temporary.c_str());
    return status;
  }
  return sync_directory(parent_of(path));
}

Status PosixDisk::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return errno_error(errno, from + ": rename to '" + to + "'");
  }
  return ok();
}

Status PosixDisk::remove(const std::string& path) {
  if (::remove(path.c_str()) != 0) {
    return errno_error(errno, path + ": remove");
  }
  return ok();
}

Status PosixDisk::remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return error ? Status(errno_error(error.value(), path + ": remove")) : ok();
}

Status PosixDisk::make_directories(const std::string& path, int mode) {
  if (::mkdir(path.c_str(), static_cast<mode_t>(mode)) == 0) {
    return ok();
  }
  if (errno == ENOENT && path.size() > 1) {
    SKEP_TRY(make_directories(parent_of(path), mode));
    if (::mkdir(path.c_str(), static_cast<mode_t>(mode)) == 0) {
      return ok();
    }
  }
  const int error = errno;
  struct stat info {};
  if (error == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    return ok();
  }
  return errno_error(error == EEXIST ? ENOTDIR : error, path + ": make directory");
}

Result<std::vector<std::string>> PosixDisk::list_directory(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) {
    return errno_error(errno, path + ": list");
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") {
      names.push_back(name);
    }
  }
  ::closedir(directory);
  return names;
}

Status PosixDisk::sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return errno_error(errno, path + ": open");
  }
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  return result == 0 ? ok() : Status(errno_error(error, path + ": sync"));
}

bool PosixDisk::exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<std::uint64_t> PosixDisk::free_bytes(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) {
    return errno_error(errno, path + ": statvfs");
  }
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace skep
