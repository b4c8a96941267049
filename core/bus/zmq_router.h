#pragma once

// The ZeroMQ side of the bus: one ROUTER, on inproc or on an ipc socket file of mode 0600 that we
// made ourselves. Messages have three parts: routing id, header, body. ZeroMQ does not say when a
// peer leaves: a send that finds nobody does, or the router's heartbeat.

#include <deque>
#include <map>
#include <memory>

#include "core/bus/carrier.h"
#include "core/bus/unix_socket.h"
#include "core/bus/zmq_socket.h"

namespace skep::bus {

class ZmqRouter final : public Carrier {
 public:
  /// `endpoint` "inproc://NAME" or "ipc://PATH". kAlreadyExists: another agent listens at PATH.
  static Result<std::unique_ptr<ZmqRouter>> bind(Loop& loop, std::shared_ptr<ZmqContext> context,
                                                 const std::string& endpoint, CarrierEvents events);
  ~ZmqRouter() override;

  void send(PeerId to, const std::string& header, const std::string& body) override;
  void close(PeerId peer) override;
  /// Bytes that wait here because a participant does not read.
  [[nodiscard]] std::size_t waiting_bytes() const;

 private:
  struct Frame {
    std::string header;
    std::string body;
  };
  struct Peer {
    std::string routing_id;
    std::deque<Frame> output;
    std::size_t output_bytes = 0;
    bool closing = false;
  };
  ZmqRouter(Loop& loop, CarrierEvents events) : loop_(loop), events_(std::move(events)) {}
  Status open(std::shared_ptr<ZmqContext> context, const std::string& endpoint);
  void pump();
  void pump_soon();
  void on_message(ZmqMessage message);
  void flush_waiting();
  void lose(PeerId peer, const std::string& why);
  void forget(PeerId peer);

  Loop& loop_;
  CarrierEvents events_;
  std::unique_ptr<ZmqSocket> socket_;
  std::string socket_path_;  // of ipc; removed at the end
  Fd listener_;
  WatchId watch_ = 0;
  TimerId flush_timer_ = 0;
  bool pump_posted_ = false;
  bool pumping_ = false;  // a message is being handled
  std::map<PeerId, Peer> peers_;
  std::map<std::string, PeerId, std::less<>> by_routing_id_;
  std::shared_ptr<ZmqRouter*> self_ = std::make_shared<ZmqRouter*>(this);  // for posted work
};

}  // namespace skep::bus
