#include "core/agentctl/terminal.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace skep::ctl {
namespace {
constexpr std::size_t kChunk = 32 * 1024;
}

RawTerminal::RawTerminal(bool wanted) {
  active_ = wanted && tcgetattr(STDIN_FILENO, &before_) == 0;
  if (active_) {
    termios raw = before_;
    cfmakeraw(&raw);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
}

RawTerminal::~RawTerminal() {
  if (active_) {
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  }
}

NoEcho::NoEcho() {
  active_ = tcgetattr(STDIN_FILENO, &before_) == 0;
  if (active_) {
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  }
}

NoEcho::~NoEcho() {
  if (active_) {
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
}

WindowSize window_size() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) {
    return {};
  }
  return {size.ws_row, size.ws_col};
}

InputPump::InputPump(Loop& loop, int fd, std::function<void(std::string)> on_data)
    : loop_(loop), fd_(fd), on_data_(std::move(on_data)) {
  struct stat info {};
  plain_file_ = fstat(fd, &info) == 0 &&
                (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode) || S_ISBLK(info.st_mode));
  resume();
}

InputPump::~InputPump() {
  pause();
}

void InputPump::pause() {
  paused_ = true;
  if (watch_ != 0) {
    loop_.unwatch(watch_);
    watch_ = 0;
  }
  if (timer_ != 0) {
    loop_.cancel_timer(timer_);
    timer_ = 0;
  }
}

void InputPump::resume() {
  if (!paused_ || ended_) {
    return;
  }
  paused_ = false;
  if (plain_file_) {
    schedule();
  } else {
    watch_ = loop_.watch_readable(fd_, [this] { read_some(); });
  }
}

void InputPump::schedule() {
  timer_ = loop_.run_after(Duration(0), [this] {
    timer_ = 0;
    read_some();
    if (!paused_ && !ended_) {
      schedule();
    }
  });
}

void InputPump::read_some() {
  std::string chunk(kChunk, '\0');
  const ssize_t size = read(fd_, chunk.data(), chunk.size());
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) {
    return;
  }
  chunk.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  if (chunk.empty()) {
    ended_ = true;
    pause();
  }
  on_data_(std::move(chunk));
}

}  // namespace skep::ctl
