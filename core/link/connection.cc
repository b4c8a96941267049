#include "core/link/connection.h"

#include "core/link/authorise.h"
#include "skep/envelope.h"
#include "skep/log.h"
#include "skep/manager.pb.h"

namespace skep::link {
namespace {

constexpr int kSilentBeatsMax = 4;
constexpr std::string_view kNodeRemoved = "NODE_REMOVED";

bool is_flow(bus::v1::MessageType type) {
  return type == bus::v1::STREAM || type == bus::v1::CREDIT || type == bus::v1::END;
}
/// Of a call that the other side made.
bool is_for_server(const bus::v1::Header& header) {
  return header.type() == bus::v1::REQUEST || header.type() == bus::v1::CANCEL ||
         (is_flow(header.type()) && !header.to_caller());
}
/// Of a call that we made.
bool is_answer(const bus::v1::Header& header) {
  return header.type() == bus::v1::RESPONSE || (is_flow(header.type()) && header.to_caller());
}

Error broken(const std::string& why) { return Error{Code::kUnavailable, why, "CONNECTION_LOST"}; }

}  // namespace

Connection::Connection(Env& env, std::shared_ptr<const TlsContext> context, const rpc::MethodTable& table,
                       Options options, Hooks hooks)
    : env_(env),
      context_(std::move(context)),
      table_(table),
      options_(std::move(options)),
      hooks_(std::move(hooks)) {}

Result<std::shared_ptr<Connection>> Connection::start(Env& env, bus::Fd fd,
                                                      std::shared_ptr<const TlsContext> context,
                                                      const rpc::MethodTable& table, Options options,
                                                      Hooks hooks) {
  SKEP_TRY_ASSIGN(auto session, TlsSession::make(context, options.accepted));
  std::shared_ptr<Connection> self(
      new Connection(env, std::move(context), table, std::move(options), std::move(hooks)));
  const std::weak_ptr<Connection> weak = self;
  self->tls_ = session.get();
  self->stream_ = bus::StreamConnection::start(
      env.loop, std::move(fd),
      {.on_frame =
           [weak](const std::string& header, std::string body) {
             if (const auto connection = weak.lock()) {
               connection->on_frame(header, std::move(body));
             }
           },
       .on_closed =
           [weak](const std::string& why) {
             if (const auto connection = weak.lock()) {
               connection->fail(broken(why));
             }
           }},
      std::move(session));
  self->limit_timer_ = env.loop.run_after(self->options_.open_limit, [weak] {
    if (const auto connection = weak.lock()) {
      connection->limit_timer_ = 0;
      connection->fail(broken("the other side did not open the connection in time"));
    }
  });
  if (!self->options_.accepted) {
    bus::v1::Hello hello;
    hello.set_protocol(rpc::kProtocol);
    hello.set_version(self->options_.version);
    hello.set_wall_time(env.clock.wall_now());
    self->send_plain(bus::v1::HELLO, hello.SerializeAsString());
  }
  return self;
}

Connection::~Connection() { release("the connection is dropped"); }

void Connection::release(std::string_view why) {
  closed_ = true;
  open_ = false;
  env_.loop.cancel_timer(std::exchange(limit_timer_, 0));
  env_.loop.cancel_timer(std::exchange(beat_timer_, 0));
  if (stream_) {
    stream_->close();
  }
  if (const auto endpoint = std::move(endpoint_)) {
    endpoint->disconnect(why);
  }
}

void Connection::close(std::string_view why) {
  if (closed_) {
    return;
  }
  const auto keep = shared_from_this();
  hooks_ = {};
  if (open_) {
    send_plain(bus::v1::BYE);
  }
  release(why);
}

void Connection::refuse(const Error& error) {
  if (closed_) {
    return;
  }
  const auto keep = shared_from_this();
  const Hooks hooks = std::exchange(hooks_, {});
  reject(error, hooks);
}

void Connection::fail(Error error) {
  if (closed_) {
    return;
  }
  const auto keep = shared_from_this();
  release(error.message);
  env_.loop.post([keep, error = std::move(error)] {
    const auto hooks = std::exchange(keep->hooks_, {});
    if (hooks.on_closed) {
      hooks.on_closed(error);
    }
  });
}

void Connection::send_plain(bus::v1::MessageType type, const std::string& body) {
  bus::v1::Header header;
  header.set_protocol(rpc::kProtocol);
  header.set_type(type);
  (void)stream_->send(header.SerializeAsString(), body);  // a broken stream tells by itself
}

Status Connection::send(const std::string& header, const std::string& body) {
  if (!open_) {
    return Error{Code::kUnavailable, "the connection is closed", "CONNECTION_LOST"};
  }
  return stream_->send(header, body);
}

void Connection::on_frame(const std::string& bytes, std::string body) {
  const auto keep = shared_from_this();
  if (closed_) {
    return;
  }
  auto header = rpc::parse_header(bytes);
  if (!header) {
    return fail(broken("the other side sent no bus frame: " + header.error().message));
  }
  if (!open_) {
    if (auto status = greet(*header, body); !status) {
      options_.accepted ? reject(status.error(), hooks_) : fail(std::move(status).error());
    }
    return;
  }
  if (is_for_server(*header)) {
    return serve(std::move(*header), std::move(body));
  }
  if (is_answer(*header)) {
    if (hooks_.on_answer) {
      const auto on_answer = hooks_.on_answer;
      on_answer(*header, std::move(body));
    }
    return;
  }
  if (header->type() == bus::v1::PING) {
    return send_plain(bus::v1::PONG);
  }
  if (header->type() == bus::v1::BYE) {
    return fail(broken("the other side ended the connection"));
  }
  if (header->type() == bus::v1::REJECT) {
    note_removal(*header, body);
    return fail(rpc::status_error(header->status()));
  }
}

Status Connection::greet(const bus::v1::Header& header, const std::string& body) {
  if (header.type() == bus::v1::REJECT && !options_.accepted) {
    note_removal(header, body);
    return rpc::status_error(header.status());
  }
  bus::v1::Hello hello;
  bus::v1::Welcome welcome;
  const bool good = options_.accepted
                        ? header.type() == bus::v1::HELLO && hello.ParseFromString(body)
                        : header.type() == bus::v1::WELCOME && welcome.ParseFromString(body);
  if (!good) {
    return broken("the other side began with a frame that is none of a greeting");
  }
  const WallTime other_clock = options_.accepted ? hello.wall_time() : welcome.wall_time();
  if (other_clock != 0) {
    skew_ = Duration(other_clock - env_.clock.wall_now());
  }
  SKEP_TRY(check_peer(other_clock));
  if (hooks_.admit) {
    const auto admit = hooks_.admit;
    SKEP_TRY(admit(*this));
  }
  become_open();
  if (const auto on_open = hooks_.on_open) {
    on_open();
  }
  return ok();
}

/// The greeting that proves the other side does not come with a refusal: its certificate is looked at here.
void Connection::note_removal(const bus::v1::Header& header, const std::string& body) {
  manager::v1::CheckMemberResponse told;
  if (options_.accepted || header.status().reason() != kNodeRemoved || !told.ParseFromString(body)) {
    return;
  }
  if (!peer_ && !check_peer(env_.clock.wall_now())) {
    return;
  }
  if (peer_ && peer_->role == Role::kManager) {
    removed_from_ = told.incarnation();
  }
}

Status Connection::check_peer(WallTime other_clock) {
  const Credentials& own = context_->credentials();
  const std::string certificate = tls_->peer_certificate();
  if (certificate.empty()) {
    return options_.accepted ? ok()
                             : Status(Error{Code::kUnauthenticated,
                                            "the other side showed no certificate: it is no manager",
                                            "NO_CERTIFICATE"});
  }
  if (own.roots.empty()) {
    return ok();
  }
  auto facts = verify_certificate(certificate, own.roots, own.cluster_id, env_.clock.wall_now(), other_clock);
  if (!facts) {
    return std::move(facts).error();
  }
  if (!options_.accepted && !options_.expected_node.empty() &&
      facts->identity.node_id != options_.expected_node) {
    return Error{Code::kUnauthenticated,
                 "node '" + facts->identity.node_id + "' answers there, not '" + options_.expected_node + "'",
                 "ANOTHER_NODE"};
  }
  // Only managers listen: who was one and still does may not pass for one, nor who has a locked one's open key.
  if (!options_.accepted && facts->identity.role != Role::kManager) {
    return Error{Code::kUnauthenticated, "node '" + facts->identity.node_id + "' is no manager",
                 "NOT_A_MANAGER"};
  }
  peer_ = std::move(facts->identity);
  return ok();
}

void Connection::become_open() {
  open_ = true;
  env_.loop.cancel_timer(std::exchange(limit_timer_, 0));
  const std::weak_ptr<Connection> weak = weak_from_this();
  if (options_.accepted) {
    bus::v1::Welcome welcome;
    welcome.set_protocol(rpc::kProtocol);
    welcome.set_node_id(context_->credentials().node_id);
    welcome.set_core_version(options_.version);
    welcome.set_wall_time(env_.clock.wall_now());
    send_plain(bus::v1::WELCOME, welcome.SerializeAsString());
    if (!peer_) {
      limit_timer_ = env_.loop.run_after(options_.joiner_limit, [weak] {
        if (const auto connection = weak.lock()) {
          connection->limit_timer_ = 0;
          connection->fail(broken("a joiner may not stay longer"));
        }
      });
    }
  }
  endpoint_ = std::make_unique<rpc::RpcEndpoint>(
      env_.loop, table_,
      [weak](const std::string& header, const std::string& body) -> Status {
        const auto connection = weak.lock();
        return connection ? connection->send(header, body) : Status(broken("the connection is closed"));
      },
      rpc::EndpointOptions{.name = "core"});
  beat_timer_ = env_.loop.run_after(options_.beat, [weak] {
    if (const auto connection = weak.lock()) {
      connection->on_beat();
    }
  });
}

void Connection::on_beat() {
  const auto keep = shared_from_this();
  // Beats are counted, not time: while this loop stood still, the other side's bytes were not read.
  if (bytes_seen_ != tls_->bytes_received()) {
    bytes_seen_ = tls_->bytes_received();
    silent_beats_ = 0;
  } else if (++silent_beats_ >= kSilentBeatsMax) {
    return fail(broken("the other side is silent"));
  }
  send_plain(bus::v1::PING);
  beat_timer_ = env_.loop.run_after(options_.beat, [weak = weak_from_this()] {
    if (const auto connection = weak.lock()) {
      connection->on_beat();
    }
  });
}

void Connection::serve(bus::v1::Header header, std::string body) {
  std::optional<Identity> who = peer_;
  if (who && who->role == Role::kManager && hooks_.still_manager &&
      !hooks_.still_manager(who->node_id, header.method())) {
    who->role = Role::kWorker;
  }
  if (header.type() == bus::v1::REQUEST) {
    if (auto allowed = authorise(who, header.method()); !allowed) {
      SKEP_WARN("a call over a link was refused", {"method", header.method()},
                {"node", who ? who->node_id : "joiner"});
      return answer_error(header, allowed.error());
    }
    if (header.target() != "core") {
      return answer_error(header, Error{Code::kPermissionDenied,
                                        "only the core can be called from another node, not '" +
                                            header.target() + "'",
                                        "NOT_ALLOWED"});
    }
  }
  auto& principal = *header.mutable_principal();
  principal.Clear();
  principal.set_kind(who ? "node" : "joiner");
  if (who) {
    principal.set_id(who->node_id);
    principal.set_role(std::string(role_name(who->role)));
  }
  header.set_source(who ? "node/" + who->node_id : "joiner");
  if (endpoint_) {
    endpoint_->on_frame(header, std::move(body));
  }
}

void Connection::answer_error(const bus::v1::Header& request, const Error& error) {
  bus::v1::Header header;
  header.set_protocol(rpc::kProtocol);
  header.set_type(bus::v1::RESPONSE);
  header.set_correlation(request.correlation());
  rpc::set_status(header, error);
  (void)send(header.SerializeAsString(), {});
}

void Connection::reject(const Error& error, const Hooks& hooks) {
  bus::v1::Header header;
  header.set_protocol(rpc::kProtocol);
  header.set_type(bus::v1::REJECT);
  rpc::set_status(header, error);
  // Who was removed is told what check_member would answer, as it may not ask any more.
  manager::v1::CheckMemberResponse removed;
  removed.set_incarnation(hooks.incarnation ? hooks.incarnation() : 0);
  (void)stream_->send(header.SerializeAsString(), error.reason == kNodeRemoved ? removed.SerializeAsString() : "");
  fail(error);
}

}  // namespace skep::link
