#include "core/link/joining.h"

#include <utility>

#include "core/link/connection.h"
#include "core/link/tcp_socket.h"
#include "skep/ca.methods.h"

namespace skep::link {

struct Joining::State : std::enable_shared_from_this<State> {
  State(Env& e, Options o, JoinToken t, ca::v1::IssueRequest r, Done d)
      : env(e), options(std::move(o)), token(std::move(t)), request(std::move(r)), done(std::move(d)) {}

  Status begin();
  void on_tcp(Result<bus::Fd> fd);
  void ask_root();
  Status check(const ca::v1::GetRootResponse& response);
  void ask_certificate();
  Result<Joined> accept(ca::v1::IssueResponse answer);
  void finish(Result<Joined> result);
  /// Wraps a callback so that it only runs while somebody still waits.
  template <class F>
  auto mine(F callback) {
    return [weak = weak_from_this(), callback = std::move(callback)](auto&&... arguments) {
      const auto self = weak.lock();
      if (self && self->done) {
        callback(*self, std::forward<decltype(arguments)>(arguments)...);
      }
    };
  }

  Env& env;
  const Options options;
  const JoinToken token;
  ca::v1::IssueRequest request;
  Done done;
  rpc::MethodTable nothing;
  KeyedRequest key;
  std::string root;
  std::unique_ptr<TcpConnect> attempt;
  std::shared_ptr<const TlsContext> context;
  std::shared_ptr<Connection> connection;
  std::unique_ptr<rpc::RpcEndpoint> endpoint;
  TimerId timer = 0;
};

Status Joining::State::begin() {
  SKEP_TRY_ASSIGN(const HostPort address, parse_host_port(options.address, kManagementPort));
  SKEP_TRY_ASSIGN(context, TlsContext::make({}));
  key = options.key;
  if (key.key.empty()) {
    SKEP_TRY_ASSIGN(key, make_request());
  }
  request.set_secret(token.secret);
  request.set_request(key.request);
  attempt = std::make_unique<TcpConnect>(
      env, address, options.limit, mine([](State& self, Result<bus::Fd> fd) { self.on_tcp(std::move(fd)); }));
  return ok();
}

void Joining::State::on_tcp(Result<bus::Fd> fd) {
  if (!fd) {
    return finish(Error{Code::kUnavailable,
                        "no manager could be reached at " + fd.error().message +
                            "; give the address of a manager, and see that its port is open",
                        "NODE_UNREACHABLE"});
  }
  Connection::Options how;
  how.version = options.version;
  how.open_limit = options.limit;
  Connection::Hooks hooks;
  hooks.on_open = mine([](State& self) { self.ask_root(); });
  hooks.on_answer = mine([](State& self, const bus::v1::Header& header, std::string body) {
    self.endpoint->on_frame(header, std::move(body));
  });
  hooks.on_closed = mine([](State& self, const Error& error) {
    Error told = error;
    self.finish(std::move(told).with_context("the manager at " + self.options.address));
  });
  auto made = Connection::start(env, *std::move(fd), context, nothing, std::move(how), std::move(hooks));
  if (!made) {
    return finish(std::move(made).error());
  }
  connection = *std::move(made);
  endpoint = std::make_unique<rpc::RpcEndpoint>(
      env.loop, nothing,
      [this](const std::string& header, const std::string& body) { return connection->send(header, body); },
      rpc::EndpointOptions{.name = "joiner"});
}

void Joining::State::ask_root() {
  rpc::call<ca::v1::methods::GetRoot>(
      *endpoint, "core", {}, {.deadline = std::chrono::seconds(10)},
      mine([](State& self, Result<ca::v1::GetRootResponse> reply) {
        Status good = reply ? self.check(*reply) : Status(std::move(reply).error());
        good ? self.ask_certificate() : self.finish(std::move(good).error());
      }));
}

Status Joining::State::check(const ca::v1::GetRootResponse& response) {
  root = response.certificate();
  SKEP_TRY(check_root(token, root));
  const WallTime now = env.clock.wall_now();
  SKEP_TRY_ASSIGN(const auto facts, verify_certificate(connection->peer_certificate(), root, "", now,
                                                       now + connection->skew().count()));
  if (facts.identity.role != Role::kManager) {
    return Error{Code::kUnauthenticated, "node '" + facts.identity.node_id + "' is no manager: ask one",
                 "NOT_A_MANAGER"};
  }
  return ok();
}

void Joining::State::ask_certificate() {
  rpc::call<ca::v1::methods::Issue>(*endpoint, "core", request, {.deadline = std::chrono::duration_cast<std::chrono::milliseconds>(options.limit)},
                                    mine([](State& self, Result<ca::v1::IssueResponse> reply) {
                                      self.finish(reply ? self.accept(*std::move(reply))
                                                        : Result<Joined>(std::move(reply).error()));
                                    }));
}

Result<Joined> Joining::State::accept(ca::v1::IssueResponse answer) {
  Joined joined;
  // The token vouches for the first root; during a rotation that one's swarm names others.
  const std::string& roots = answer.root().empty() ? root : answer.root();
  joined.credentials = {{answer.certificate(), key.key}, roots, answer.cluster_id(), answer.node_id()};
  const WallTime now = env.clock.wall_now();
  SKEP_TRY_ASSIGN(const auto facts, verify_certificate(answer.certificate(), root, answer.cluster_id(), now,
                                                       now + connection->skew().count()));
  SKEP_TRY(check_pair(joined.credentials.pair));
  if (facts.identity.node_id != answer.node_id()) {
    return Error{Code::kInternal, "the manager certified another node than it says", "BAD_CERTIFICATE"};
  }
  joined.answer = std::move(answer);
  return joined;
}

void Joining::State::finish(Result<Joined> result) {
  const auto call = std::exchange(done, nullptr);
  env.loop.cancel_timer(std::exchange(timer, 0));
  if (connection) {
    connection->close("joined");
  }
  if (call) {
    // Through the loop: the owner may drop the endpoint whose answer this is.
    env.loop.post([call, result = std::make_shared<Result<Joined>>(std::move(result)),
                   keep = shared_from_this()] { call(std::move(*result)); });
  }
}

Joining::Joining(Env& env, Options options, JoinToken token, ca::v1::IssueRequest request, Done done)
    : state_(std::make_shared<State>(env, std::move(options), std::move(token), std::move(request),
                                     std::move(done))) {
  state_->timer = env.loop.run_after(state_->options.limit, state_->mine([](State& self) {
    self.finish(Error{Code::kTimeout, "the manager at " + self.options.address + " did not answer in time",
                      "JOIN_TIMEOUT"});
  }));
  if (auto status = state_->begin(); !status) {
    state_->finish(std::move(status).error());
  }
}

Joining::~Joining() {
  state_->done = nullptr;
  state_->env.loop.cancel_timer(state_->timer);
  if (state_->connection) {
    state_->connection->close("given up");
  }
}

}  // namespace skep::link
