#include "tests/rig/local_peers.h"

#include <utility>

#include "core/link/authorise.h"

namespace skep::rig {
namespace {

struct NoStream final : rpc::ClientStream {
  Status send(rpc::Body) override { return Error{Code::kCancelled, "over"}; }
  void end() override {}
  void cancel() override {}
};

Error unreachable() { return Error{Code::kUnavailable, "no connection", "NODE_UNREACHABLE"}; }

/// What the bus says in the words of Peers.
Result<rpc::Body> translate(Result<rpc::Body> reply) {
  if (!reply && reply.error().reason == "UNKNOWN_TARGET") {
    return unreachable();
  }
  if (!reply && reply.error().reason == "DISCONNECTED") {
    return Error{Code::kUnavailable, reply.error().message, "CONNECTION_LOST"};
  }
  return reply;
}

}  // namespace

bus::v1::Principal who(const std::string& kind, const std::string& id, const std::string& role) {
  bus::v1::Principal made;
  made.set_kind(kind);
  made.set_id(id);
  made.set_role(role);
  return made;
}

std::string node_of(const std::string& participant) {
  return participant.substr(0, participant.find('/'));
}

class LocalPeers::Target final : public rpc::Caller {
 public:
  Target(LocalPeers& owner, std::string node) : owner_(owner), node_(std::move(node)) {}
  void set_address(const std::string& address) { reachable_at_ = !address.empty(); }

  rpc::CallId call(std::string target, std::string_view method, rpc::Body body,
                   rpc::CallOptions options, rpc::OnReply on_reply) override {
    const Status may = !up() || told_removed() ? unreachable() : authorised(method);
    if (!may) {
      owner_.loop_.post([on_reply = std::move(on_reply), why = may.error()] { on_reply(why); });
      return 0;
    }
    return owner_.caller_->call(node_ + "/" + target, method, std::move(body), std::move(options),
                                [on_reply = std::move(on_reply)](Result<rpc::Body> reply) {
                                  on_reply(translate(std::move(reply)));
                                });
  }
  void cancel(rpc::CallId id) override { owner_.caller_->cancel(id); }
  std::shared_ptr<rpc::ClientStream> open(std::string target, std::string_view method,
                                          rpc::Body body, rpc::CallOptions options,
                                          rpc::StreamHandlers handlers) override {
    const Status may = up() ? authorised(method) : unreachable();
    if (!may) {
      owner_.loop_.post([done = std::move(handlers.on_done), why = may.error()] { done(why); });
      return std::make_shared<NoStream>();
    }
    handlers.on_done = [done = std::move(handlers.on_done)](Result<rpc::Body> last) {
      done(translate(std::move(last)));
    };
    return owner_.caller_->open(node_ + "/" + target, method, std::move(body), std::move(options),
                                std::move(handlers));
  }

 private:
  [[nodiscard]] bool up() const {
    return reachable_at_ && owner_.options_.connects(node_) && !owner_.refused_.contains(node_);
  }
  [[nodiscard]] Status authorised(std::string_view method) const {
    const Options& own = owner_.options_;
    const bool downgraded = own.role == "manager" && own.still_manager && !own.still_manager(node_, method);
    return downgraded ? link::authorise(link::Identity{own.node, link::Role::kWorker, {}}, method) : ok();
  }
  bool told_removed() {
    const auto from = owner_.options_.refuses ? owner_.options_.refuses(node_) : std::nullopt;
    if (from && owner_.on_removed) {
      owner_.loop_.post([this, from] { owner_.on_removed(node_, *from); });
    }
    return from.has_value();
  }
  LocalPeers& owner_;
  const std::string node_;
  bool reachable_at_ = false;
};

LocalPeers::LocalPeers(testing::LocalBus& bus, Loop& loop, Options options)
    : bus_(bus), loop_(loop), options_(std::move(options)) {
  caller_ = &bus_.attach(options_.node + "/link", options_.node, {}, none_,
                         who("node", options_.node, options_.role), &loop_);
}

LocalPeers::~LocalPeers() { bus_.detach(options_.node + "/link"); }

rpc::Caller& LocalPeers::to(const std::string& node_id, const std::string& address) {
  auto& slot = targets_[node_id];
  if (slot == nullptr) {
    slot = std::make_unique<Target>(*this, node_id);
  }
  slot->set_address(address);
  return *slot;
}

void LocalPeers::refuse(const std::string& node_id, bool refused, std::uint64_t incarnation) {
  incarnation_ = incarnation;
  refused ? (void)refused_.insert(node_id) : (void)refused_.erase(node_id);
}

}  // namespace skep::rig
