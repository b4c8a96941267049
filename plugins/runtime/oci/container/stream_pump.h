#pragma once

// Bytes between file descriptors and a stream with credit, for exec and attach. Neither side's
// slowness makes memory grow: input waits with the caller's credit held, output stays in the
// descriptor. Loop thread only.

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "plugins/runtime/oci/container/fd.h"
#include "skep/env.h"
#include "skep/rpc.h"

namespace skep::oci {

/// Writes what the caller sends to a socket or terminal.
class InputFeed {
 public:
  InputFeed(Loop& loop, std::shared_ptr<rpc::ServerStream> stream);
  ~InputFeed();
  InputFeed(const InputFeed&) = delete;
  InputFeed& operator=(const InputFeed&) = delete;

  /// Sockets end by shutdown, terminals by the end-of-transmission character.
  enum class Kind { kSocket, kTerminal };
  /// Borrows `fd` (non-blocking) until close(); what was put before goes out now.
  void open(int fd, Kind kind);
  void put(std::string data);
  void end();
  void close();

 private:
  void flush();
  void hold(bool on);

  Loop& loop_;
  std::shared_ptr<rpc::ServerStream> stream_;  // also held by its endpoint; dropped by close()
  std::deque<std::string> pending_;
  std::size_t offset_ = 0;
  int fd_ = -1;
  Kind kind_ = Kind::kSocket;
  WatchId watch_ = 0;
  bool held_ = false;
  bool ended_ = false;
};

/// Hands over chunks of one descriptor while the receiver takes them.
class OutputPump {
 public:
  /// Returns false when it could not take the chunk now; it is offered again by resume().
  using Take = std::function<bool(std::string_view chunk)>;
  OutputPump(Loop& loop, Take take, std::function<void()> on_end);
  ~OutputPump();
  OutputPump(const OutputPump&) = delete;
  OutputPump& operator=(const OutputPump&) = delete;

  /// Owns `fd` (non-blocking) from now on.
  void open(UniqueFd fd);
  void resume();
  /// Reads what is there without waiting for more; for a writer that ended. True when nothing is
  /// left, false when the receiver has to take something first.
  bool drain();
  [[nodiscard]] bool ended() const { return !fd_.valid(); }
  [[nodiscard]] int fd() const { return fd_.get(); }
  void close();

 private:
  enum class Step { kMore, kWait, kBlocked, kEnd };
  Step step();
  void run();

  Loop& loop_;
  Take take_;
  std::function<void()> on_end_;
  UniqueFd fd_;
  WatchId watch_ = 0;
  std::string kept_;  // one chunk that was not taken yet
};

}  // namespace skep::oci
