#include "plugins/runtime/oci/container/stream_pump.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace skep::oci {
namespace {

constexpr std::size_t kChunk = 32 * 1024;
constexpr int kChunksPerTurn = 16;  // then others on the loop get their turn
constexpr char kEndOfTransmission = 4;

}  // namespace

InputFeed::InputFeed(Loop& loop, std::shared_ptr<rpc::ServerStream> stream)
    : loop_(loop), stream_(std::move(stream)) {}

InputFeed::~InputFeed() { close(); }

void InputFeed::open(int fd, Kind kind) {
  fd_ = fd;
  kind_ = kind;
  flush();
}

void InputFeed::put(std::string data) {
  if (!ended_ && !data.empty() && stream_) {
    pending_.push_back(std::move(data));
    flush();
  }
}

void InputFeed::end() {
  if (!ended_) {
    ended_ = true;
    flush();
  }
}

void InputFeed::close() {
  if (watch_ != 0) {
    loop_.unwatch(std::exchange(watch_, 0));
  }
  fd_ = -1;
  pending_.clear();
  stream_.reset();
}

void InputFeed::hold(bool on) {
  if (held_ != on && stream_) {
    held_ = on;
    stream_->hold_credit(on);
  }
}

void InputFeed::flush() {
  if (fd_ < 0) {
    return hold(!pending_.empty());
  }
  while (!pending_.empty()) {
    const std::string& front = pending_.front();
    const char* const data = front.data() + offset_;
    const std::size_t size = front.size() - offset_;
    const ssize_t put = kind_ == Kind::kSocket ? ::send(fd_, data, size, MSG_NOSIGNAL)
                                               : ::write(fd_, data, size);
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put < 0 && errno == EAGAIN) {
      hold(true);
      if (watch_ == 0) {
        watch_ = loop_.watch_writable(fd_, [this] { flush(); });
      }
      return;
    }
    if (put < 0) {  // the reader is gone, which is its choice
      pending_.clear();
      offset_ = 0;
      break;
    }
    offset_ += static_cast<std::size_t>(put);
    if (offset_ == front.size()) {
      pending_.pop_front();
      offset_ = 0;
    }
  }
  if (watch_ != 0) {
    loop_.unwatch(std::exchange(watch_, 0));
  }
  hold(false);
  if (ended_) {
    if (kind_ == Kind::kSocket) {
      ::shutdown(fd_, SHUT_WR);
    } else if (::write(fd_, &kEndOfTransmission, 1) < 0) {
      // A full terminal queue: whoever reads it gets the end of input another way, by its caller.
    }
    fd_ = -1;
  }
}

OutputPump::OutputPump(Loop& loop, Take take, std::function<void()> on_end)
    : loop_(loop), take_(std::move(take)), on_end_(std::move(on_end)) {}

OutputPump::~OutputPump() { close(); }

void OutputPump::open(UniqueFd fd) {
  fd_ = std::move(fd);
  resume();
}

void OutputPump::close() {
  if (watch_ != 0) {
    loop_.unwatch(std::exchange(watch_, 0));
  }
  fd_.reset();
}

OutputPump::Step OutputPump::step() {
  if (kept_.empty()) {
    std::array<char, kChunk> buffer;
    const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      return Step::kWait;
    }
    if (got <= 0) {  // a terminal says EIO when its last user is gone
      return Step::kEnd;
    }
    kept_.assign(buffer.data(), static_cast<std::size_t>(got));
  }
  if (!take_(kept_)) {
    return Step::kBlocked;
  }
  kept_.clear();
  return Step::kMore;
}

void OutputPump::run() {
  for (int turn = 0; turn < kChunksPerTurn && fd_.valid(); ++turn) {
    switch (step()) {
      case Step::kMore:
        break;
      case Step::kWait:
        return;
      case Step::kBlocked:
        loop_.unwatch(std::exchange(watch_, 0));
        return;
      case Step::kEnd:
        close();
        on_end_();
        return;
    }
  }
}

void OutputPump::resume() {
  if (fd_.valid() && watch_ == 0) {
    watch_ = loop_.watch_readable(fd_.get(), [this] { run(); });
    if (!kept_.empty()) {
      run();
    }
  }
}

bool OutputPump::drain() {
  while (fd_.valid()) {
    switch (step()) {
      case Step::kMore:
        break;
      case Step::kBlocked:
        return false;
      case Step::kWait:
      case Step::kEnd:
        close();
        break;
    }
  }
  return true;
}

}  // namespace skep::oci
