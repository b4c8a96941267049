#pragma once

// ZeroMQ behind RAII and Result. zmq.h stays in the .cc files. A socket belongs to one thread.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"

namespace skep::bus {

/// One per process. Sockets keep it alive; after it exists start child processes only by spawn+exec.
class ZmqContext {
 public:
  ZmqContext();
  ~ZmqContext();
  ZmqContext(const ZmqContext&) = delete;
  ZmqContext& operator=(const ZmqContext&) = delete;
  [[nodiscard]] void* raw() const { return raw_; }

 private:
  void* raw_;
};

/// The kinds we use; values are translated in the .cc.
enum class ZmqType { kRouter, kDealer, kPair };

struct ZmqMessage {
  std::vector<std::string> parts;  ///< at most 4; a longer message is cut and marked
  bool cut = false;
  std::string peer_address;  ///< ipc: "localhost:UID:GID:PID" from the kernel; inproc: empty
};

class ZmqSocket {
 public:
  enum class Sent { kYes, kQueueFull, kNoSuchPeer };

  static Result<std::unique_ptr<ZmqSocket>> make(std::shared_ptr<ZmqContext> context, ZmqType type);
  ~ZmqSocket();
  ZmqSocket(const ZmqSocket&) = delete;
  ZmqSocket& operator=(const ZmqSocket&) = delete;

  Status bind(const std::string& endpoint);
  /// Binds ipc to a listening unix socket made by us; takes a duplicate of the fd.
  Status bind_ipc_fd(const std::string& path, int listening_fd);
  Status connect(const std::string& endpoint);
  /// Events of connection and disconnection, to a PAIR socket at `endpoint`.
  Status monitor(const std::string& endpoint);

  /// Edge-triggered: receive until nullopt after every wake-up, and ask readable() after a send that no
  /// receive follows, because a send may swallow the edge of an incoming message.
  [[nodiscard]] int fd() const;
  [[nodiscard]] bool readable() const;
  /// Never blocks; a message goes whole or not at all.
  Sent send(std::initializer_list<std::string_view> parts);
  /// nullopt when there is none.
  std::optional<ZmqMessage> receive();

 private:
  ZmqSocket(std::shared_ptr<ZmqContext> context, void* raw) : context_(std::move(context)), raw_(raw) {}
  Status set(int option, int value);

  std::shared_ptr<ZmqContext> context_;
  void* raw_;
};

/// Whether a monitor's message says connected (true), disconnected (false) or something else.
std::optional<bool> monitor_event(const ZmqMessage& message);

}  // namespace skep::bus
