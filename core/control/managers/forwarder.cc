#include "core/control/managers/forwarder.h"

#include <algorithm>
#include <utility>

#include "core/control/managers/stream_relay.h"
#include "core/model/ids.h"
#include "skep/mutant.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLeaderWait = 10s;
constexpr Duration kRetryPause = 100ms;

Error outcome_unknown() {
  return Error{
      Code::kUnavailable,
      "the connection to the leading manager broke while it worked on this; whether it was "
      "done is not known: look before you repeat it",
      "OUTCOME_UNKNOWN"};
}

std::chrono::milliseconds in_ms(Duration duration) {
  return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(duration), 1ms);
}

}  // namespace

Error not_leader_error() {
  return Error{Code::kUnavailable, "this manager does not lead; ask the leader", "NOT_LEADER"};
}

bool met_no_leader(const Error& error) {
  return error.reason == "NOT_LEADER" || error.reason == "NO_LEADER" ||
         error.reason == "PROPOSAL_DROPPED" ||
         error.reason == "NODE_UNREACHABLE" || error.reason == "NOT_A_MANAGER";
}

/// One unary request on its way. Shared by the callbacks of its tries.
class Forwarder::Request : public std::enable_shared_from_this<Request> {
 public:
  Request(Forwarder& forwarder, Kind kind, std::string method, rpc::MethodTable::UnaryHandler local,
          rpc::Body body, rpc::CallContext context, rpc::OnReply reply)
      : forwarder_(forwarder),
        alive_(forwarder.alive_),
        kind_(kind),
        method_(std::move(method)),
        local_(std::move(local)),
        body_(std::move(body)),
        context_(std::move(context)),
        reply_(std::move(reply)) {
    const Duration left =
        context_.time_left > 0ms ? Duration(context_.time_left) : Duration(rpc::kDefaultDeadline);
    if (kind_ == Kind::kRepeatable && context_.operation_id.empty()) {
      context_.operation_id = model::new_id(forwarder_.env_.random);
    }
    deadline_ = now() + left;
    give_up_at_ = now() + std::min(left, kLeaderWait);
  }

  void start() {
    forwarder_.find_leader_(std::max(give_up_at_ - now(), Duration{0}),
                            [self = shared_from_this()](Result<LeaderRoute> route) {
                              route ? self->run(*route) : self->give_up(std::move(route).error());
                            });
  }

  void leader_is(const LeaderRoute& route) {
    if (route.here || route.node_id != asked_) {
      peer_->cancel(call_);
      answered(Error{Code::kUnavailable, "another manager leads now", "CONNECTION_LOST"});
    }
  }

 private:
  TimePoint now() { return forwarder_.env_.clock.now(); }

  void run(const LeaderRoute& route) {
    auto answered = [self = shared_from_this()](Result<rpc::Body> reply) {
      self->answered(std::move(reply));
    };
    if (route.here) {
      context_.time_left = in_ms(deadline_ - now());
      return local_(body_, context_, std::move(answered));
    }
    if (context_.principal.kind() == "node") {
      return reply_(not_leader_error());  // one hop was made
    }
    if (route.node_id == doubtful_at_) {
      // It may be at work on it, and then would find its own change in the way.
      return now() < give_up_at_ ? again() : give_up(outcome_unknown());
    }
    if (forwarder_.peers_ == nullptr) {
      return reply_(Error{Code::kUnavailable,
                          "node '" + route.node_id + "' leads and cannot be reached from here",
                          "NO_LEADER"});
    }
    number_ = ++forwarder_.times_passed_on_;
    forwarder_.passed_on_[number_] = weak_from_this();
    asked_ = route.node_id;
    peer_ = &forwarder_.peers_->to(route.node_id, route.address);
    call_ = peer_->call("core", method_, body_,
                        {in_ms(deadline_ - now()), context_.operation_id, context_.trace_id},
                        std::move(answered));
  }

  void answered(Result<rpc::Body> reply) {
    if (!alive_.expired()) {
      forwarder_.passed_on_.erase(number_);
    }
    if (reply || alive_.expired()) {
      return reply_(std::move(reply));
    }
    const bool lost = reply.error().reason == "CONNECTION_LOST";
    if (lost && kind_ == Kind::kWrite && !SKEP_MUTANT(kLostWritesTriedAgain)) {
      return reply_(outcome_unknown());
    }
    if (lost && kind_ == Kind::kRepeatable) {
      doubtful_at_ = asked_;
    }
    if (!lost && !met_no_leader(reply.error())) {
      return give_up(std::move(reply).error());
    }
    now() < give_up_at_ && context_.principal.kind() != "node" ? again()
                                                               : give_up(std::move(reply).error());
  }

  /// An earlier try may have been run after all, and then its own change is what a repeat meets.
  void give_up(Error error) { reply_(doubtful_at_.empty() ? std::move(error) : outcome_unknown()); }

  void again() {
    forwarder_.env_.loop.run_after(kRetryPause, [self = shared_from_this()] {
      if (!self->alive_.expired()) {
        return self->start();
      }
      self->reply_(Error{Code::kUnavailable, "the manager stopped", "MANAGER_STOPPED"});
    });
  }

  Forwarder& forwarder_;
  const std::weak_ptr<char> alive_;
  const Kind kind_;
  const std::string method_;
  const rpc::MethodTable::UnaryHandler local_;
  const rpc::Body body_;
  rpc::CallContext context_;
  const rpc::OnReply reply_;
  TimePoint deadline_;
  TimePoint give_up_at_;
  std::string asked_;        // the node it was passed on to
  std::string doubtful_at_;  // the one that may have run it before its connection broke
  std::uint64_t number_ = 0;  // among those that were passed on; 0: not yet
  rpc::Caller* peer_ = nullptr;
  rpc::CallId call_ = 0;
};

Forwarder::Forwarder(Env& env, bus::Peers* peers, FindLeader find_leader)
    : env_(env), peers_(peers), find_leader_(std::move(find_leader)) {}

Forwarder::~Forwarder() = default;

void Forwarder::leader_is(const LeaderRoute& route) {
  for (const auto& [key, weak] : std::map(passed_on_)) {
    if (const auto request = weak.lock()) {
      request->leader_is(route);
    }
  }
}

void Forwarder::call(Kind kind, const std::string& method,
                     const rpc::MethodTable::UnaryHandler& local, rpc::Body body,
                     const rpc::CallContext& context, rpc::OnReply reply) {
  std::make_shared<Request>(*this, kind, method, local, std::move(body), context, std::move(reply))
      ->start();
}

void Forwarder::stream(const std::string& method, const rpc::MethodTable::StreamHandler& local,
                       rpc::Body first, std::shared_ptr<rpc::ServerStream> stream) {
  find_leader_(kLeaderWait, [this, method, local, first = std::move(first),
                             stream = std::move(stream)](Result<LeaderRoute> route) {
    if (!route) {
      return stream->finish(std::move(route).error());
    }
    if (route->here) {
      return local(first, stream);
    }
    if (stream->context().principal.kind() == "node") {
      return stream->finish(not_leader_error());
    }
    if (peers_ == nullptr) {
      return stream->finish(Error{Code::kUnavailable,
                                  "node '" + route->node_id + "' leads and cannot be reached",
                                  "NO_LEADER"});
    }
    relay_stream(peers_->to(route->node_id, route->address), "core", method, first, stream);
  });
}

}  // namespace skep::control
