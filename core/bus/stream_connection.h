#pragma once

// One byte-stream connection that carries frames: reads, writes, and bounds what waits to be
// written, so a reader that stalls costs at most that and is then cut off. Loop thread only. Held by
// a shared_ptr because its callbacks may drop it.

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "core/bus/frame_codec.h"
#include "core/bus/unix_socket.h"
#include "skep/env.h"

namespace skep::bus {

/// Bytes that wait for a slow reader at most. Room for one frame of the largest size and more.
inline constexpr std::size_t kOutputMax = std::size_t{32} << 20;

/// What lies between the frames and the wire: TLS. Bytes in, bytes out, no I/O.
class StreamFilter {
 public:
  virtual ~StreamFilter() = default;
  /// Takes what came from the wire; appends what it means to `plain` and what must go back to
  /// `to_wire`, also when it fails (an alert). An error ends the connection.
  virtual Status receive(std::string_view from_wire, std::string& plain, std::string& to_wire) = 0;
  /// Appends the wire form of `plain`; while a handshake is under way that is the handshake's, and
  /// `plain` follows when it is over. Called with nothing when the connection starts.
  virtual Status seal(std::string_view plain, std::string& to_wire) = 0;
};

class StreamConnection : public std::enable_shared_from_this<StreamConnection> {
 public:
  struct Handlers {
    std::function<void(std::string header, std::string body)> on_frame;
    /// Once, never from within send() or close(): why the connection ended.
    std::function<void(const std::string& why)> on_closed;
  };
  /// `fd` is a connected, non-blocking stream socket.
  static std::shared_ptr<StreamConnection> start(Loop& loop, Fd fd, Handlers handlers,
                                                 std::unique_ptr<StreamFilter> filter = nullptr);
  ~StreamConnection();
  StreamConnection(const StreamConnection&) = delete;
  StreamConnection& operator=(const StreamConnection&) = delete;

  /// kResourceExhausted: the peer does not read; the connection is being closed. kUnavailable: it is
  /// closed.
  Status send(std::string_view header, std::string_view body);
  /// Ends it after what waits is written, if the peer takes it within a second. on_closed follows
  /// only when the peer ended it first.
  void close();
  [[nodiscard]] std::size_t output_bytes() const { return output_bytes_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  StreamConnection(Loop& loop, Fd fd, Handlers handlers, std::unique_ptr<StreamFilter> filter);
  void on_readable();
  Status unfilter(std::string_view bytes, std::string& plain);
  void queue(std::string bytes);
  void flush();
  void fail(const std::string& why);
  void release();

  Loop& loop_;
  Fd fd_;
  Handlers handlers_;
  std::unique_ptr<StreamFilter> filter_;
  FrameParser parser_;
  std::deque<std::string> output_;
  std::size_t output_bytes_ = 0;
  std::size_t front_written_ = 0;
  WatchId read_watch_ = 0;
  WatchId write_watch_ = 0;
  TimerId linger_timer_ = 0;
  bool closing_ = false;
};

}  // namespace skep::bus
