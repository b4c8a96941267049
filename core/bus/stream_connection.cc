#include "core/bus/stream_connection.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace skep::bus {
namespace {
constexpr std::size_t kReadSize = std::size_t{64} << 10;
constexpr std::chrono::seconds kLinger{1};
}  // namespace

std::shared_ptr<StreamConnection> StreamConnection::start(Loop& loop, Fd fd, Handlers handlers,
                                                          std::unique_ptr<StreamFilter> filter) {
  std::shared_ptr<StreamConnection> connection(
      new StreamConnection(loop, std::move(fd), std::move(handlers), std::move(filter)));
  connection->read_watch_ =
      loop.watch_readable(connection->fd_.get(), [weak = connection->weak_from_this()] {
        if (const auto self = weak.lock()) {
          self->on_readable();
        }
      });
  if (connection->filter_) {
    std::string greeting;
    if (auto status = connection->filter_->seal({}, greeting); !status) {
      connection->fail(status.error().message);
    }
    connection->queue(std::move(greeting));
  }
  return connection;
}

StreamConnection::StreamConnection(Loop& loop, Fd fd, Handlers handlers,
                                   std::unique_ptr<StreamFilter> filter)
    : loop_(loop),
      fd_(std::move(fd)),
      handlers_(std::move(handlers)),
      filter_(std::move(filter)) {}

StreamConnection::~StreamConnection() {
  release();
}

void StreamConnection::release() {
  loop_.cancel_timer(linger_timer_);
  loop_.unwatch(read_watch_);
  loop_.unwatch(write_watch_);
  read_watch_ = write_watch_ = linger_timer_ = 0;
  fd_.reset();
  output_.clear();
  output_bytes_ = 0;
}

void StreamConnection::fail(const std::string& why) {
  if (!fd_.valid()) {
    return;
  }
  release();
  // Through the loop: the owner may be in the middle of a send.
  loop_.post([self = shared_from_this(), why] {
    const auto handlers = std::exchange(self->handlers_, {});
    if (handlers.on_closed && !self->closing_) {
      handlers.on_closed(why);
    }
  });
}

void StreamConnection::on_readable() {
  std::array<char, kReadSize> buffer;
  const ssize_t count = ::read(fd_.get(), buffer.data(), buffer.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  if (count <= 0) {
    return fail(count == 0 ? "the other side closed the connection" : std::strerror(errno));
  }
  if (closing_) {
    return;
  }
  std::string_view bytes(buffer.data(), static_cast<std::size_t>(count));
  std::string plain;
  auto status = ok();
  if (filter_) {
    status = unfilter(bytes, plain);
    bytes = plain;
  }
  std::vector<FrameParser::Frame> frames;
  if (auto parsed = parser_.feed(bytes, frames); status) {
    status = std::move(parsed);
  }
  for (auto& frame : frames) {
    if (!fd_.valid() || closing_) {
      return;  // a handler ended it
    }
    // A copy keeps the handler alive when it drops this connection.
    const auto on_frame = handlers_.on_frame;
    on_frame(std::move(frame.header), std::move(frame.body));
  }
  if (!status) {
    fail(status.error().message);
  }
}

Status StreamConnection::unfilter(std::string_view bytes, std::string& plain) {
  std::string to_wire;
  auto status = filter_->receive(bytes, plain, to_wire);
  if (!to_wire.empty() && output_bytes_ + to_wire.size() > kOutputMax) {
    return Error{Code::kResourceExhausted, "the other side does not read"};
  }
  queue(std::move(to_wire));
  return status;
}

void StreamConnection::queue(std::string bytes) {
  if (bytes.empty() || !fd_.valid()) {
    return;
  }
  output_bytes_ += bytes.size();
  output_.push_back(std::move(bytes));
  if (write_watch_ == 0) {
    flush();
  }
}

Status StreamConnection::send(std::string_view header, std::string_view body) {
  if (!fd_.valid() || closing_) {
    return Error{Code::kUnavailable, "the connection is closed"};
  }
  const std::size_t size = kFramePrefixSize + header.size() + body.size();
  if (output_bytes_ + size > kOutputMax) {
    fail("the other side does not read: " + std::to_string(output_bytes_) + " bytes wait");
    return Error{Code::kResourceExhausted, "the other side does not read"};
  }
  std::string frame = frame_prefix(header.size(), body.size());
  frame.reserve(size);
  frame.append(header).append(body);
  if (filter_) {
    std::string sealed;
    if (auto status = filter_->seal(frame, sealed); !status) {
      fail(status.error().message);
      return status;
    }
    frame = std::move(sealed);
  }
  queue(std::move(frame));
  return fd_.valid() ? ok() : Status(Error{Code::kUnavailable, "the connection broke"});
}

void StreamConnection::flush() {
  constexpr std::size_t kPiecesMax = 16;
  while (!output_.empty()) {
    std::array<iovec, kPiecesMax> pieces;
    std::size_t count = 0;
    for (auto it = output_.begin(); it != output_.end() && count < kPiecesMax; ++it, ++count) {
      const std::size_t skip = count == 0 ? front_written_ : 0;
      pieces[count] = {it->data() + skip, it->size() - skip};
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) {
      continue;
    }
    if (sent < 0 && errno != EAGAIN) {
      return fail(std::strerror(errno));
    }
    if (sent < 0) {
      if (write_watch_ == 0) {
        write_watch_ = loop_.watch_writable(fd_.get(), [weak = weak_from_this()] {
          if (const auto self = weak.lock()) {
            self->flush();
          }
        });
      }
      return;
    }
    output_bytes_ -= static_cast<std::size_t>(sent);
    front_written_ += static_cast<std::size_t>(sent);
    while (!output_.empty() && front_written_ >= output_.front().size()) {
      front_written_ -= output_.front().size();
      output_.pop_front();
    }
  }
  loop_.unwatch(std::exchange(write_watch_, 0));
  if (closing_) {
    release();
  }
}

void StreamConnection::close() {
  if (!fd_.valid() || closing_) {
    return;
  }
  closing_ = true;
  handlers_ = {};
  if (output_.empty()) {
    return release();
  }
  // The timer holds the connection until everything is written or the second is over.
  linger_timer_ = loop_.run_after(kLinger, [self = shared_from_this()] { self->release(); });
}

}  // namespace skep::bus
