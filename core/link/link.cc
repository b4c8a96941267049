#include "core/link/link.h"

#include <utility>

#include "core/link/peer.h"
#include "skep/log.h"

namespace skep::link {
namespace {

constexpr Duration kAcceptPause = std::chrono::milliseconds(200);  // when file descriptors ran out
constexpr Duration kSkewTold = std::chrono::seconds(30);
constexpr int kAcceptsPerTurn = 64;

}  // namespace

Link::Link(Env& env, const rpc::MethodTable& table, LinkOptions options)
    : env_(env), table_(table), options_(std::move(options)),
      https_(env, [this] { return context_ ? context_->credentials().pair : CertifiedKey{}; }) {}

Link::~Link() {
  alive_.reset();
  on_gone_ = nullptr;
  on_rejected_ = nullptr;
  on_removed_ = nullptr;
  stop_listening();
  for (auto& [key, connection] : std::exchange(accepted_, {})) {
    connection->close("the agent stops");
  }
  peers_.clear();
}

Status Link::set_credentials(Credentials credentials) {
  SKEP_TRY_ASSIGN(const auto facts, read_certificate(credentials.pair.certificate));
  SKEP_TRY_ASSIGN(context_, TlsContext::make(std::move(credentials)));
  const auto before = std::exchange(role_, facts.identity.role);
  if (before && *before != facts.identity.role) {
    // Posted: the new certificate may have come over one of them.
    env_.loop.post([this, alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired()) {
        close_all("its role changed");
      }
    });
  }
  return ok();
}

void Link::clear() {
  stop_listening();
  context_.reset();
  role_.reset();
  refused_.clear();
  close_all("this node left the swarm");
}

void Link::close_all(const std::string& why) {
  for (auto& [key, connection] : std::exchange(accepted_, {})) {
    connection->close(why);
  }
  for (auto& [id, peer] : peers_) {
    peer->close(why);
  }
}

Status Link::listen(const std::string& address) {
  if (!context_) {
    return Error{Code::kFailedPrecondition, "there is no certificate to listen with"};
  }
  if (listener_.valid() && address == listens_at_) {
    return ok();
  }
  SKEP_TRY_ASSIGN(const HostPort where, parse_host_port(address, kManagementPort));
  if (where.port != 0 && where.port == port_) {
    stop_listening();  // our own listener would be in the way
  }
  SKEP_TRY_ASSIGN(bus::Fd listener, listen_tcp(where));
  SKEP_TRY_ASSIGN(const std::uint16_t port, bound_port(listener.get()));
  stop_listening();
  listener_ = std::move(listener);
  listens_at_ = address;
  port_ = port;
  listen_watch_ = env_.loop.watch_readable(listener_.get(), [this] { accept_waiting(); });
  SKEP_INFO("listening for nodes", {"address", to_text({where.host, port_})});
  return ok();
}

void Link::stop_listening() {
  env_.loop.unwatch(std::exchange(listen_watch_, 0));
  env_.loop.cancel_timer(std::exchange(listen_timer_, 0));
  listener_.reset();
  port_ = 0;
}

void Link::accept_waiting() {
  for (int i = 0; i < kAcceptsPerTurn && listener_.valid(); ++i) {
    std::string from;
    auto fd = accept_tcp(listener_.get(), from);
    if (!fd) {
      SKEP_ERROR("connections of nodes cannot be accepted", {"cause", fd.error().message});
      env_.loop.unwatch(std::exchange(listen_watch_, 0));
      listen_timer_ = env_.loop.run_after(kAcceptPause, [this] {
        listen_timer_ = 0;
        listen_watch_ = env_.loop.watch_readable(listener_.get(), [this] { accept_waiting(); });
      });
      return;
    }
    if (!fd->valid()) {
      return;
    }
    accept_one(*std::move(fd), from);
  }
}

void Link::accept_one(bus::Fd fd, const std::string& from) {
  std::size_t strangers = 0;
  for (const auto& [key, connection] : accepted_) {
    strangers += connection->peer() ? 0 : 1;
  }
  if (accepted_.size() >= options_.connections_max || strangers >= options_.joiners_max) {
    SKEP_WARN("a connection was refused: there are too many", {"from", from});
    return;  // the fd closes
  }
  auto key = std::make_shared<const Connection*>(nullptr);
  Connection::Hooks hooks;
  add_checks(hooks);
  hooks.on_answer = [this, key](const bus::v1::Header& header, std::string body) {
    const auto it = accepted_.find(*key);
    // Nothing was asked over a locked manager's connection: it must not answer what the manager was asked.
    const bool answers = it != accepted_.end() && it->second->peer() &&
                         it->second->peer()->role != Role::kLockedManager;
    const auto peer = answers ? peers_.find(it->second->peer()->node_id) : peers_.end();
    if (peer != peers_.end()) {
      peer->second->on_answer(header, std::move(body));
    }
  };
  hooks.on_closed = [this, key, from](const Error& error) {
    if (error.code != Code::kUnavailable) {
      SKEP_WARN("a connection was refused", {"from", from}, {"cause", error.message});
    }
    on_accepted_closed(*key, error);
  };
  Connection::Options options;
  options.accepted = true;
  options.version = options_.version;
  options.open_limit = options_.accept_limit;
  options.beat = options_.beat;
  auto made = Connection::start(env_, std::move(fd), context_, table_, std::move(options), std::move(hooks));
  if (!made) {
    SKEP_WARN("a connection was refused", {"from", from}, {"cause", made.error().message});
    return;
  }
  *key = made->get();
  accepted_.emplace(made->get(), *made);
}

void Link::add_checks(Connection::Hooks& hooks) {
  hooks.admit = [this](const Connection& connection) { return admit(connection); };
  hooks.incarnation = [this] { return incarnation_; };
  hooks.still_manager = [this](const std::string& node_id, std::string_view method) {
    return !still_manager_ || still_manager_(node_id, method);
  };
}

Status Link::admit(const Connection& connection) {
  if (!connection.peer()) {
    return ok();
  }
  const std::string& id = connection.peer()->node_id;
  if (refused_.contains(id)) {
    return Error{Code::kPermissionDenied,
                 "node '" + id + "' was removed from the swarm: 'agentctl swarm leave' there, then join again",
                 "NODE_REMOVED"};
  }
  if (connection.skew() > kSkewTold || connection.skew() < -kSkewTold) {
    SKEP_WARN("the clock of a node differs from ours", {"node", id},
              {"seconds", std::chrono::duration_cast<std::chrono::seconds>(connection.skew()).count()});
  }
  return ok();
}

void Link::on_accepted_closed(const Connection* key, const Error& error) {
  const auto node = accepted_.extract(key);
  if (node.empty() || !node.mapped()->peer()) {
    return;
  }
  const std::string id = node.mapped()->peer()->node_id;
  if (const auto it = peers_.find(id); it != peers_.end()) {
    it->second->on_accepted_lost(key, error.message);
  }
  tell_if_gone(id);
}

Result<Link::ConnectionPtr> Link::connected(const std::string& node_id, bus::Fd fd, Connection::Hooks hooks) {
  if (!context_) {
    return Error{Code::kUnavailable, "this node belongs to no swarm", "NODE_UNREACHABLE"};
  }
  add_checks(hooks);
  Connection::Options options;
  options.expected_node = node_id;
  options.version = options_.version;
  options.open_limit = options_.open_limit;
  options.beat = options_.beat;
  return Connection::start(env_, std::move(fd), context_, table_, std::move(options), std::move(hooks));
}

Link::ConnectionPtr Link::accepted_from(const std::string& node_id) const {
  for (const auto& [key, connection] : accepted_) {
    if (connection->open() && connection->peer() && connection->peer()->node_id == node_id &&
        connection->peer()->role != Role::kLockedManager) {
      return connection;
    }
  }
  return nullptr;
}

void Link::tell_if_gone(const std::string& node_id) {
  const auto peer = peers_.find(node_id);
  const bool connected = (peer != peers_.end() && peer->second->connected()) || accepted_from(node_id);
  if (!connected && on_gone_) {
    on_gone_(node_id);
  }
}

rpc::Caller& Link::to(const std::string& node_id, const std::string& address) {
  auto& peer = peers_[node_id];
  if (!peer) {
    peer = std::make_unique<Peer>(*this, node_id);
  }
  peer->set_address(address);
  return peer->caller();
}

void Link::refuse(const std::string& node_id, bool refused, std::uint64_t incarnation) {
  incarnation_ = incarnation;
  if (!refused) {
    refused_.erase(node_id);
    return;
  }
  if (!refused_.insert(node_id).second) {
    return;
  }
  for (auto it = accepted_.begin(); it != accepted_.end();) {
    const auto connection = it->second;
    if (connection->peer() && connection->peer()->node_id == node_id) {
      it = accepted_.erase(it);
      connection->refuse(Error{Code::kPermissionDenied, "node '" + node_id + "' was removed from the swarm",
                               "NODE_REMOVED"});
    } else {
      ++it;
    }
  }
  if (const auto peer = peers_.find(node_id); peer != peers_.end()) {
    peer->second->close("it was removed from the swarm");
  }
  tell_if_gone(node_id);
}

void Link::set_on_gone(std::function<void(const std::string& node_id)> on_gone) {
  on_gone_ = std::move(on_gone);
}

}  // namespace skep::link
