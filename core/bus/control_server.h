#pragma once

// The control socket: framed streams over a unix socket file. Who connects is known from the kernel
// (SO_PEERCRED), who may connect is decided by the file's mode.

#include <map>
#include <memory>

#include "core/bus/carrier.h"
#include "core/bus/unix_socket.h"

namespace skep::bus {

class StreamConnection;

class ControlServer final : public Carrier {
 public:
  /// kAlreadyExists: another agent listens there. A stale file is replaced.
  static Result<std::unique_ptr<ControlServer>> listen(Loop& loop, const std::string& path, int mode,
                                                       CarrierEvents events);
  ~ControlServer() override;

  void send(PeerId to, const std::string& header, const std::string& body) override;
  void close(PeerId peer) override;
  [[nodiscard]] std::size_t connections() const { return connections_.size(); }
  /// Bytes that wait for clients that do not read.
  [[nodiscard]] std::size_t waiting_bytes() const;

 private:
  ControlServer(Loop& loop, std::string path, CarrierEvents events)
      : loop_(loop), path_(std::move(path)), events_(std::move(events)) {}
  void accept_waiting();

  Loop& loop_;
  std::string path_;
  CarrierEvents events_;
  Fd listener_;
  WatchId watch_ = 0;
  std::map<PeerId, std::shared_ptr<StreamConnection>> connections_;
};

}  // namespace skep::bus
