#include "core/bus/zmq_socket.h"

#include <fcntl.h>
#include <unistd.h>
#include <zmq.h>

#include <cerrno>
#include <cstring>

#include "skep/envelope.h"

namespace skep::bus {
namespace {

constexpr std::size_t kPartsMax = 4;
constexpr int kQueueMessagesMax = 256;  // per peer and direction; more waits where bytes are counted
constexpr int kLingerMs = 200;          // a BYE or a last answer may still leave

Error zmq_error(std::string_view what) {
  return Error{Code::kInternal, std::string(what) + ": " + zmq_strerror(zmq_errno())};
}

int zmq_type(ZmqType type) {
  switch (type) {
    case ZmqType::kRouter:
      return ZMQ_ROUTER;
    case ZmqType::kDealer:
      return ZMQ_DEALER;
    case ZmqType::kPair:
      return ZMQ_PAIR;
  }
  SKEP_UNREACHABLE();
}

}  // namespace

ZmqContext::ZmqContext() : raw_(zmq_ctx_new()) {
  SKEP_ASSERT(raw_ != nullptr, "a ZeroMQ context needs a little memory only");
  zmq_ctx_set(raw_, ZMQ_IO_THREADS, 1);
}

ZmqContext::~ZmqContext() {
  zmq_ctx_term(raw_);
}

Result<std::unique_ptr<ZmqSocket>> ZmqSocket::make(std::shared_ptr<ZmqContext> context, ZmqType type) {
  void* const raw = zmq_socket(context->raw(), zmq_type(type));
  if (raw == nullptr) {
    return zmq_error("ZeroMQ socket");
  }
  std::unique_ptr<ZmqSocket> socket(new ZmqSocket(std::move(context), raw));
  SKEP_TRY(socket->set(ZMQ_LINGER, kLingerMs));
  SKEP_TRY(socket->set(ZMQ_SNDHWM, kQueueMessagesMax));
  SKEP_TRY(socket->set(ZMQ_RCVHWM, kQueueMessagesMax));
  const std::int64_t size_max = rpc::kBodyMax;
  if (zmq_setsockopt(raw, ZMQ_MAXMSGSIZE, &size_max, sizeof(size_max)) != 0) {
    return zmq_error("ZeroMQ message size");
  }
  if (type == ZmqType::kRouter) {
    SKEP_TRY(socket->set(ZMQ_ROUTER_MANDATORY, 1));
  }
  if (type == ZmqType::kDealer) {
    SKEP_TRY(socket->set(ZMQ_RECONNECT_IVL, 100));
    SKEP_TRY(socket->set(ZMQ_RECONNECT_IVL_MAX, 1000));
    SKEP_TRY(socket->set(ZMQ_IMMEDIATE, 1));  // nothing is kept for an agent that is away
  }
  return socket;
}

ZmqSocket::~ZmqSocket() {
  zmq_close(raw_);
}

Status ZmqSocket::set(int option, int value) {
  if (zmq_setsockopt(raw_, option, &value, sizeof(value)) != 0) {
    return zmq_error("ZeroMQ option " + std::to_string(option));
  }
  return ok();
}

Status ZmqSocket::bind(const std::string& endpoint) {
  return zmq_bind(raw_, endpoint.c_str()) == 0 ? ok() : Status(zmq_error("bind " + endpoint));
}

Status ZmqSocket::bind_ipc_fd(const std::string& path, int listening_fd) {
  // A plain bind to a path in use would silently take it over; ours was refused before this.
  const int fd = ::fcntl(listening_fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) {
    return Error{Code::kInternal, std::string("duplicate a socket: ") + std::strerror(errno)};
  }
  SKEP_TRY(set(ZMQ_USE_FD, fd));
  // With an fd given, libzmq only reports this name; it must fit sun_path all the same.
  const std::string name = path.size() < 100 ? path : "/proc/self/fd/" + std::to_string(fd);
  return bind("ipc://" + name);
}

Status ZmqSocket::connect(const std::string& endpoint) {
  return zmq_connect(raw_, endpoint.c_str()) == 0 ? ok() : Status(zmq_error("connect " + endpoint));
}

Status ZmqSocket::monitor(const std::string& endpoint) {
  return zmq_socket_monitor(raw_, endpoint.c_str(), ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) == 0
             ? ok()
             : Status(zmq_error("monitor"));
}

int ZmqSocket::fd() const {
  int fd = -1;
  std::size_t size = sizeof(fd);
  zmq_getsockopt(raw_, ZMQ_FD, &fd, &size);
  return fd;
}

bool ZmqSocket::readable() const {
  int events = 0;
  std::size_t size = sizeof(events);
  return zmq_getsockopt(raw_, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0;
}

ZmqSocket::Sent ZmqSocket::send(std::initializer_list<std::string_view> parts) {
  std::size_t left = parts.size();
  for (const auto part : parts) {
    const int flags = ZMQ_DONTWAIT | (--left > 0 ? ZMQ_SNDMORE : 0);
    while (zmq_send(raw_, part.data(), part.size(), flags) < 0) {
      if (zmq_errno() == EINTR) {
        continue;
      }
      // Only the first part can be refused: libzmq takes the rest of a message it has begun.
      return zmq_errno() == EHOSTUNREACH ? Sent::kNoSuchPeer : Sent::kQueueFull;
    }
  }
  return Sent::kYes;
}

std::optional<ZmqMessage> ZmqSocket::receive() {
  ZmqMessage message;
  for (bool more = true; more;) {
    zmq_msg_t part;
    zmq_msg_init(&part);
    int size = -1;
    do {
      size = zmq_msg_recv(&part, raw_, ZMQ_DONTWAIT);
    } while (size < 0 && zmq_errno() == EINTR);
    if (size < 0) {
      zmq_msg_close(&part);
      return std::nullopt;
    }
    if (message.parts.size() < kPartsMax) {
      message.parts.emplace_back(static_cast<const char*>(zmq_msg_data(&part)), zmq_msg_size(&part));
    } else {
      message.cut = true;
    }
    if (message.parts.size() == 2 && message.peer_address.empty()) {
      if (const char* const address = zmq_msg_gets(&part, "Peer-Address")) {
        message.peer_address = address;
      }
    }
    more = zmq_msg_more(&part) != 0;
    zmq_msg_close(&part);
  }
  return message;
}

std::optional<bool> monitor_event(const ZmqMessage& message) {
  if (message.parts.empty() || message.parts[0].size() < sizeof(std::uint16_t)) {
    return std::nullopt;
  }
  std::uint16_t event = 0;
  std::memcpy(&event, message.parts[0].data(), sizeof(event));
  if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
    return true;
  }
  return event == ZMQ_EVENT_DISCONNECTED ? std::optional<bool>(false) : std::nullopt;
}

}  // namespace skep::bus
