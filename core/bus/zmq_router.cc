#include "core/bus/zmq_router.h"

#include <unistd.h>

#include <charconv>

#include "skep/log.h"

namespace skep::bus {
namespace {

constexpr int kMessagesPerTurn = 256;
constexpr std::chrono::milliseconds kRetryFlush{2};

template <class Number>
bool parse_part(std::string_view& text, Number& value) {
  const auto colon = text.find(':');
  const auto part = text.substr(0, colon);
  text = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
  return error == std::errc() && end == part.data() + part.size();
}

/// "localhost:UID:GID:PID", which libzmq took from SO_PEERCRED.
std::optional<PeerCredentials> parse_credentials(std::string_view address) {
  PeerCredentials result;
  const auto colon = address.find(':');
  if (colon == std::string_view::npos) {
    return std::nullopt;
  }
  address.remove_prefix(colon + 1);
  if (parse_part(address, result.uid) && parse_part(address, result.gid) &&
      parse_part(address, result.pid)) {
    return result;
  }
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<ZmqRouter>> ZmqRouter::bind(Loop& loop, std::shared_ptr<ZmqContext> context,
                                                   const std::string& endpoint,
                                                   CarrierEvents events) {
  std::unique_ptr<ZmqRouter> router(new ZmqRouter(loop, std::move(events)));
  SKEP_TRY(router->open(std::move(context), endpoint));
  return router;
}

Status ZmqRouter::open(std::shared_ptr<ZmqContext> context, const std::string& endpoint) {
  SKEP_TRY_ASSIGN(socket_, ZmqSocket::make(std::move(context), ZmqType::kRouter));
  constexpr std::string_view kIpc = "ipc://";
  if (endpoint.starts_with(kIpc)) {
    const std::string path = endpoint.substr(kIpc.size());
    SKEP_TRY_ASSIGN(listener_, listen_unix(path, 0600));
    socket_path_ = path;
    SKEP_TRY(socket_->bind_ipc_fd(path, listener_.get()));
  } else {
    SKEP_TRY(socket_->bind(endpoint));
  }
  watch_ = loop_.watch_readable(socket_->fd(), [this] { pump(); });
  pump_soon();
  return ok();
}

ZmqRouter::~ZmqRouter() {
  loop_.unwatch(watch_);
  loop_.cancel_timer(flush_timer_);
  if (!socket_path_.empty()) {
    remove_socket_file(socket_path_);
  }
}

void ZmqRouter::pump_soon() {
  if (std::exchange(pump_posted_, true)) {
    return;
  }
  loop_.post([weak = std::weak_ptr(self_)] {
    if (const auto self = weak.lock()) {
      (*self)->pump_posted_ = false;
      (*self)->pump();
    }
  });
}

void ZmqRouter::pump() {
  const std::weak_ptr alive(self_);
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    auto message = socket_->receive();
    if (!message) {
      return;  // an empty receive has taken every command there was: the fd tells of the next
    }
    pumping_ = true;  // what handlers send needs no look at the events: the next receive has it
    on_message(*std::move(message));
    if (alive.expired()) {
      return;  // a handler ended the bus
    }
    pumping_ = false;
  }
  pump_soon();
}

void ZmqRouter::on_message(ZmqMessage message) {
  if (message.parts.size() != 3 || message.cut) {
    SKEP_DEBUG("bus message with a wrong number of parts dropped", {"parts", message.parts.size()});
    return;
  }
  const auto known = by_routing_id_.find(message.parts[0]);
  if (known != by_routing_id_.end()) {
    return events_.on_frame(known->second, message.parts[1], std::move(message.parts[2]));
  }
  PeerFacts facts;
  facts.carrier = socket_path_.empty() ? CarrierKind::kInproc : CarrierKind::kIpc;
  facts.principal.set_kind("local");
  PeerCredentials credentials{::geteuid(), ::getegid(), ::getpid()};
  if (facts.carrier == CarrierKind::kIpc) {
    const auto parsed = parse_credentials(message.peer_address);
    if (!parsed || (parsed->uid != 0 && parsed->uid != ::geteuid())) {
      SKEP_WARN("bus connection of a foreign user ignored", {"peer", message.peer_address});
      return;
    }
    credentials = *parsed;
  }
  facts.principal.set_id(std::to_string(credentials.uid));
  facts.principal.set_uid(credentials.uid);
  facts.principal.set_gid(credentials.gid);
  facts.principal.set_pid(credentials.pid);
  const PeerId id = events_.next_id();
  peers_[id].routing_id = message.parts[0];
  by_routing_id_[message.parts[0]] = id;
  const std::weak_ptr alive(self_);
  events_.on_opened(id, std::move(facts));
  if (!alive.expired()) {
    events_.on_frame(id, message.parts[1], std::move(message.parts[2]));
  }
}

void ZmqRouter::send(PeerId to, const std::string& header, const std::string& body) {
  const auto it = peers_.find(to);
  if (it == peers_.end() || it->second.closing) {
    return;
  }
  Peer& peer = it->second;
  auto sent = ZmqSocket::Sent::kQueueFull;
  if (peer.output.empty()) {
    sent = socket_->send({peer.routing_id, header, body});
  }
  if (sent == ZmqSocket::Sent::kNoSuchPeer) {
    return lose(to, "its connection is gone");
  }
  if (sent == ZmqSocket::Sent::kQueueFull) {
    if (peer.output_bytes + header.size() + body.size() > kPeerOutputMax) {
      return lose(to, "it does not read: " + std::to_string(peer.output_bytes) + " bytes wait");
    }
    peer.output_bytes += header.size() + body.size();
    peer.output.push_back({header, body});
    if (flush_timer_ == 0) {
      flush_timer_ = loop_.run_after(kRetryFlush, [this] { flush_waiting(); });
    }
  }
  if (!pumping_ && socket_->readable()) {
    pump_soon();  // the send may have taken the edge of an incoming message
  }
}

void ZmqRouter::flush_waiting() {
  flush_timer_ = 0;
  bool waiting = false;
  std::vector<PeerId> lost;
  std::vector<PeerId> finished;
  for (auto& [id, peer] : peers_) {
    while (!peer.output.empty()) {
      const auto& frame = peer.output.front();
      const auto sent = socket_->send({peer.routing_id, frame.header, frame.body});
      if (sent == ZmqSocket::Sent::kQueueFull) {
        waiting = true;
        break;
      }
      if (sent == ZmqSocket::Sent::kNoSuchPeer) {
        lost.push_back(id);
        break;
      }
      peer.output_bytes -= frame.header.size() + frame.body.size();
      peer.output.pop_front();
    }
    if (peer.closing && peer.output.empty()) {
      finished.push_back(id);
    }
  }
  for (const PeerId id : lost) {
    lose(id, "its connection is gone");
  }
  for (const PeerId id : finished) {
    forget(id);
  }
  if (waiting) {
    flush_timer_ = loop_.run_after(kRetryFlush, [this] { flush_waiting(); });
  }
  if (!pumping_ && socket_->readable()) {
    pump_soon();
  }
}

void ZmqRouter::lose(PeerId peer, const std::string& why) {
  const bool told = peers_.contains(peer) && !peers_.at(peer).closing;
  forget(peer);
  if (told) {
    loop_.post([weak = std::weak_ptr(self_), peer, why] {
      if (const auto self = weak.lock()) {
        (*self)->events_.on_closed(peer, why);
      }
    });
  }
}

void ZmqRouter::forget(PeerId peer) {
  const auto it = peers_.find(peer);
  if (it != peers_.end()) {
    // A participant that was let go while its output waited may have come back with a new entry.
    const auto known = by_routing_id_.find(it->second.routing_id);
    if (known != by_routing_id_.end() && known->second == peer) {
      by_routing_id_.erase(known);
    }
    peers_.erase(it);
  }
}

void ZmqRouter::close(PeerId peer) {
  const auto it = peers_.find(peer);
  if (it == peers_.end()) {
    return;
  }
  if (it->second.output.empty()) {
    return forget(peer);
  }
  it->second.closing = true;
  by_routing_id_.erase(it->second.routing_id);
}

std::size_t ZmqRouter::waiting_bytes() const {
  std::size_t total = 0;
  for (const auto& [id, peer] : peers_) {
    total += peer.output_bytes;
  }
  return total;
}

}  // namespace skep::bus
