#pragma once

// A participant's end of the bus: what an in-process shell or agent-plugin-host stands on. Connects
// a DEALER, says HELLO, keeps saying it after every loss until a WELCOME comes, answers PING, and
// hands frames over. All callbacks run on its Loop; send() may come from any thread.
//
// When the agent goes away, frames of the old connection mean nothing any more: on_frame first gets
// a BYE, which makes an RpcEndpoint fail and forget what is in flight, then on_lost is called.

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "core/bus/unix_socket.h"
#include "core/bus/zmq_socket.h"
#include "skep/bus.pb.h"
#include "skep/env.h"

namespace skep::bus {

class PluginLink {
 public:
  struct Options {
    std::string endpoint;  ///< "inproc://NAME" of the same context, or "ipc://PATH"
    v1::Hello hello;       ///< protocol is filled in
  };
  struct Callbacks {
    std::function<void(const v1::Welcome&)> on_welcome;
    std::function<void(std::string header, std::string body)> on_frame;
    std::function<void(const std::string& why)> on_lost = {};
    /// The agent refused us for good; nothing follows. Refusals that a retry can mend do not come
    /// here.
    std::function<void(const Error&)> on_rejected = {};
  };

  PluginLink(Loop& loop, std::shared_ptr<ZmqContext> context, Options options, Callbacks callbacks);
  /// [loop]
  ~PluginLink();
  PluginLink(const PluginLink&) = delete;
  PluginLink& operator=(const PluginLink&) = delete;

  /// [loop] Connects; WELCOME follows on the loop, however long it takes.
  Status start();
  /// [loop] Says BYE and disconnects. No callback follows. Idempotent.
  void stop();
  /// [any thread] kUnavailable while not welcome; kResourceExhausted when 32 MiB wait to be sent.
  Status send(std::string header, std::string body);
  [[nodiscard]] bool welcome() const { return welcome_.load(); }

 private:
  struct Frame {
    std::string header;
    std::string body;
    std::uint64_t connection = 0;
    [[nodiscard]] std::size_t size() const { return header.size() + body.size(); }
  };
  /// What posted work holds: the link, until it stopped.
  struct Alive {
    PluginLink* link;
  };
  void pump();
  void pump_soon();
  void pump_monitor();
  void on_message(ZmqMessage message);
  void on_reject(const v1::Header& header);
  void on_tick();
  void say_hello();
  void lose(const std::string& why);
  void send_now(Frame frame);
  void flush();

  Loop& loop_;
  std::shared_ptr<ZmqContext> context_;
  Options options_;
  Callbacks callbacks_;
  ShortPath socket_path_;  // of ipc, open for reconnects
  std::unique_ptr<ZmqSocket> socket_;
  std::unique_ptr<ZmqSocket> monitor_;
  std::thread::id loop_thread_;
  WatchId watch_ = 0;
  WatchId monitor_watch_ = 0;
  TimerId tick_timer_ = 0;
  TimerId flush_timer_ = 0;
  bool pump_posted_ = false;
  bool pumping_ = false;  // a message is being handled
  bool connected_ = false;
  bool rejected_ = false;
  std::atomic<bool> welcome_{false};
  // Grows with every loss: what was sent into an earlier connection is dropped.
  std::atomic<std::uint64_t> connection_{0};
  TimePoint heard_{};
  TimePoint last_tick_{};
  Duration silence_max_ = std::chrono::seconds(10);
  std::deque<Frame> output_;
  std::atomic<std::size_t> output_bytes_{0};  // handed to send() and not yet to ZeroMQ
  const std::shared_ptr<Alive> alive_ = std::make_shared<Alive>(Alive{this});
};

}  // namespace skep::bus
