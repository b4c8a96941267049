#include "core/bus/control_server.h"

#include <sys/socket.h>

#include <cerrno>

#include "core/bus/stream_connection.h"
#include "skep/log.h"

namespace skep::bus {
namespace {
constexpr std::size_t kConnectionsMax = 512;
constexpr int kAcceptsPerTurn = 32;
}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::listen(Loop& loop, const std::string& path,
                                                             int mode, CarrierEvents events) {
  std::unique_ptr<ControlServer> server(new ControlServer(loop, path, std::move(events)));
  SKEP_TRY_ASSIGN(server->listener_, listen_unix(path, mode));
  ControlServer* const self = server.get();  // the watch ends with the server
  server->watch_ = loop.watch_readable(server->listener_.get(), [self] { self->accept_waiting(); });
  return server;
}

ControlServer::~ControlServer() {
  loop_.unwatch(watch_);
  for (auto& [id, connection] : connections_) {
    connection->close();
  }
  if (listener_.valid()) {
    remove_socket_file(path_);
  }
}

void ControlServer::accept_waiting() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) {
      if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        SKEP_WARN("control connection not accepted", {"errno", errno});
      }
      return;
    }
    const auto credentials = peer_credentials(fd.get());
    if (!credentials || connections_.size() >= kConnectionsMax) {
      SKEP_WARN("control connection refused", {"connections", connections_.size()});
      continue;
    }
    PeerFacts facts;
    facts.carrier = CarrierKind::kControl;
    facts.principal.set_kind("local");
    facts.principal.set_id(std::to_string(credentials->uid));
    facts.principal.set_uid(credentials->uid);
    facts.principal.set_gid(credentials->gid);
    facts.principal.set_pid(credentials->pid);
    const PeerId id = events_.next_id();
    connections_[id] = StreamConnection::start(
        loop_, std::move(fd),
        {.on_frame = [this, id](const std::string& header,
                                std::string body) { events_.on_frame(id, header, std::move(body)); },
         .on_closed =
             [this, id](const std::string& why) {
               connections_.erase(id);
               events_.on_closed(id, why);
             }});
    events_.on_opened(id, std::move(facts));
  }
}

void ControlServer::send(PeerId to, const std::string& header, const std::string& body) {
  const auto it = connections_.find(to);
  if (it != connections_.end()) {
    (void)it->second->send(header, body);  // a connection that breaks reports on_closed
  }
}

void ControlServer::close(PeerId peer) {
  const auto node = connections_.extract(peer);
  if (!node.empty()) {
    node.mapped()->close();
  }
}

std::size_t ControlServer::waiting_bytes() const {
  std::size_t total = 0;
  for (const auto& [id, connection] : connections_) {
    total += connection->output_bytes();
  }
  return total;
}

}  // namespace skep::bus
