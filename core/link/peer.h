#pragma once

// The calling side towards one node: an endpoint whose frames go over the connection to it, wait while
// one is made, and fail when none can be. Only for core/link.

#include <deque>
#include <memory>
#include <string>

#include "core/link/link.h"

namespace skep::link {

class Link::Peer {
 public:
  /// Bytes and frames that wait for a connection at most.
  static constexpr std::size_t kWaitingBytesMax = std::size_t{32} << 20;
  static constexpr std::size_t kWaitingFramesMax = 1'024;

  Peer(Link& link, std::string node_id);
  ~Peer();

  rpc::Caller& caller() { return endpoint_; }
  void set_address(const std::string& address) { address_ = address; }
  /// A frame that answers a call of ours, from whichever connection.
  void on_answer(const bus::v1::Header& header, std::string body) {
    endpoint_.on_frame(header, std::move(body));
  }
  /// The accepted connection our calls went over is gone.
  void on_accepted_lost(const Connection* connection, const std::string& why);
  [[nodiscard]] bool connected() const { return connection_ && connection_->open(); }
  /// Ends connection and attempts; calls fail.
  void close(const std::string& why);

 private:
  struct Frame {
    std::string header;
    std::string body;
  };
  Status send(std::string header, std::string body);
  void connect();
  void on_tcp(Result<bus::Fd> fd);
  void on_open();
  void on_closed(const Error& error);
  void fail_waiting(const Error& error);
  Duration next_delay();

  Link& link_;
  const std::string node_id_;
  std::string address_;
  rpc::RpcEndpoint endpoint_;
  std::unique_ptr<TcpConnect> attempt_;
  std::shared_ptr<Connection> connection_;  // ours, open or being opened
  bool opened_ = false;                     // connection_ was open
  const Connection* over_ = nullptr;        // the accepted one our calls go over; a key, never followed
  std::deque<Frame> waiting_;
  std::size_t waiting_bytes_ = 0;
  TimerId retry_timer_ = 0;
  Duration longest_delay_{0};
};

}  // namespace skep::link
