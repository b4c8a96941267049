#include <sys/random.h>
#include <time.h>

#include <cerrno>
#include <cstring>

#include "skep/posix_env.h"

namespace skep {

TimePoint PosixClock::now() {
  return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
}

WallTime PosixClock::wall_now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<WallTime>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

std::uint64_t PosixRandom::next() {
  const std::string raw = bytes(sizeof(std::uint64_t));
  std::uint64_t value = 0;
  std::memcpy(&value, raw.data(), sizeof(value));
  return value;
}

std::string PosixRandom::bytes(std::size_t size) {
  std::string out(size, '\0');
  std::size_t filled = 0;
  while (filled < size) {
    const ssize_t got = ::getrandom(out.data() + filled, size - filled, 0);
    if (got < 0) {
      SKEP_ASSERT(errno == EINTR, "getrandom fails only when interrupted");
      continue;
    }
    filled += static_cast<std::size_t>(got);
  }
  return out;
}

Error errno_error(int error_number, std::string_view what) {
  Code code = Code::kInternal;
  std::string reason;
  switch (error_number) {
    case ENOENT:
      code = Code::kNotFound;
      break;
    case EEXIST:
      code = Code::kAlreadyExists;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = Code::kPermissionDenied;
      reason = error_number == EROFS ? "READ_ONLY_FILE_SYSTEM" : "";
      break;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      code = Code::kResourceExhausted;
      reason = error_number == ENOSPC ? "DISK_FULL" : "";
      break;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
      code = Code::kInvalidArgument;
      break;
    case EBUSY:
    case ENOTEMPTY:
      code = Code::kFailedPrecondition;
      break;
    case ETIMEDOUT:
      code = Code::kTimeout;
      break;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EAGAIN:
      code = Code::kUnavailable;
      break;
    case EIO:
      code = Code::kDataLoss;
      reason = "INPUT_OUTPUT_ERROR";
      break;
    default:
      break;
  }
  char buffer[128];
  std::string message(what);
  message.append(": ").append(::strerror_r(error_number, buffer, sizeof(buffer)));
  return Error{code, std::move(message), std::move(reason)};
}

}  // namespace skep
