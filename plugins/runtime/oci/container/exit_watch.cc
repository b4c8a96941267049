#include "plugins/runtime/oci/container/exit_watch.h"

#include <sys/inotify.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "skep/posix_env.h"

namespace skep::oci {

ExitWatch::ExitWatch(Loop& loop, OnExit on_exit, std::function<void()> on_overflow)
    : loop_(loop), on_exit_(std::move(on_exit)), on_overflow_(std::move(on_overflow)) {}

ExitWatch::~ExitWatch() {
  if (watch_ != 0) {
    loop_.unwatch(watch_);
  }
}

Status ExitWatch::start(const std::string& directory) {
  inotify_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_.valid() ||
      ::inotify_add_watch(inotify_.get(), directory.c_str(), IN_MOVED_TO | IN_CLOSE_WRITE) < 0) {
    return errno_error(errno, directory + ": watch");
  }
  watch_ = loop_.watch_readable(inotify_.get(), [this] { read_events(); });
  return ok();
}

void ExitWatch::read_events() {
  alignas(inotify_event) std::array<char, 16 * 1024> buffer;
  std::vector<std::string> names;
  bool overflow = false;
  for (;;) {
    const ssize_t got = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (got <= 0) {
      break;
    }
    for (ssize_t at = 0; at < got;) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      const char* name = buffer.data() + at + sizeof(event);
      overflow = overflow || (event.mask & IN_Q_OVERFLOW) != 0;
      if (event.len > 0) {
        names.emplace_back(name);
      }
      at += static_cast<ssize_t>(sizeof(event) + event.len);
    }
  }
  if (overflow) {
    on_overflow_();
  }
  for (const std::string& name : names) {
    on_exit_(name);
  }
}

}  // namespace skep::oci
