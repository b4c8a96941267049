#include "node_certificate.h"

#include <utility>

#include "core/agentd/certificate_wishes.h"
#include "core/agentd/manager_caller.h"
#include "core/link/root.h"
#include "skep/ca.methods.h"
#include "tests/rig/manager_process.h"

namespace skep::sim {

namespace {
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only
constexpr Duration kRenewSpread = 1s;  // as in agentd
constexpr Duration kRenewAgain = 30s;

link::Role role_of(const link::Credentials& credentials) {
  return link::read_certificate(credentials.pair.certificate)->identity.role;
}
}  // namespace

NodeCertificate::NodeCertificate(std::string id, Hooks hooks)
    : id_(std::move(id)), hooks_(std::move(hooks)) {
  own_.pair.key = link::make_request()->key;
  own_.cluster_id = rig::kClusterId;
  own_.node_id = id_;
}

void NodeCertificate::start(Env& env, rpc::Caller& managers, std::function<void()> describe,
                            bool manager) {
  stop();
  env_ = &env;
  managers_ = &managers;
  describe_ = std::move(describe);
  manager_ = manager;
  alive_ = std::make_shared<char>();
  if (!credentials_ || (manager && role_of(*credentials_) != link::Role::kManager)) {
    renew_in(1ms);  // once the agent runs
  }
}

void NodeCertificate::stop() {
  if (env_ != nullptr) {
    env_->loop.cancel_timer(std::exchange(timer_, 0));
  }
  renewal_wished_ = false;
  alive_.reset();
  describe_ = nullptr;
  managers_ = nullptr;
  env_ = nullptr;
}

void NodeCertificate::follow(const dispatch::v1::SessionMessage& message) {
  if (env_ == nullptr || message.session_id().empty()) {
    return;
  }
  const bool other_roots = renewals_.told(message.root_version());
  if (!credentials_) {
    return;
  }
  if (auto fresh = agentd::with_wanted_roots(message, *credentials_)) {
    take(*std::move(fresh));
  } else if (other_roots) {
    say_what_it_has();
  }
  // A manager learns from the log that it is none any more.
  const bool to_manage = message.node().spec().role() == model::v1::NODE_ROLE_MANAGER;
  const bool other_role = !manager_ && to_manage != (role_of(*credentials_) == link::Role::kManager);
  if ((!other_role && !agentd::must_renew(message, *credentials_)) ||
      std::exchange(renewal_wished_, true)) {
    return;
  }
  renew_in(Duration(static_cast<std::int64_t>(
      env_->random.below(static_cast<std::uint64_t>(kRenewSpread.count())))));
}

void NodeCertificate::renew_in(Duration wait) {
  env_->loop.cancel_timer(timer_);
  timer_ = env_->loop.run_after(wait, [this] {
    timer_ = 0;
    renewal_wished_ = false;
    renew();
  });
}

std::string NodeCertificate::request() const { return *link::request_for(own_.pair.key); }

void NodeCertificate::renew() {
  ca::v1::RenewRequest request;
  request.set_request(this->request());
  hooks_.asks();
  rpc::call<ca::v1::methods::Renew>(
      *managers_, std::string(agentd::kManagerTarget), request, {.deadline = 15s},
      [this, alive = std::weak_ptr<char>(alive_), asked = renewals_.ask()](const Result<ca::v1::RenewResponse>& reply) {
        if (alive.expired()) {
          return;
        }
        auto fresh = renewals_.answered(asked, reply, own_, env_->clock.wall_now());
        if (!fresh && fresh.error().reason == "RENEWED_AGAIN") {
          if (timer_ == 0) {
            renew_in(credentials_ ? kRenewAgain : 1ms);
          }
          return;
        }
        if (!fresh || !take_renewed(*std::move(fresh))) {
          renew_in(kRenewAgain);
        }
      });
}

Status NodeCertificate::take_renewed(link::Credentials fresh) {
  if (manager_ && role_of(fresh) != link::Role::kManager) {
    return Error{Code::kUnavailable, "this manager is being demoted; it becomes a worker first"};
  }
  take(std::move(fresh));
  return ok();
}

void NodeCertificate::take(link::Credentials fresh) {
  fresh.pair.key = own_.pair.key;
  credentials_ = std::move(fresh);
  hooks_.changed(*credentials_);
  say_what_it_has();
}

void NodeCertificate::say_what_it_has() {
  tls_.Clear();
  tls_.set_root_version(renewals_.root_version());
  tls_.set_trust_root(credentials_->roots);
  if (const auto issuer = link::issuer_of(credentials_->pair.certificate, credentials_->roots)) {
    tls_.set_issuer_subject(issuer->subject);
    tls_.set_issuer_public_key(issuer->public_key);
  }
  if (describe_) {
    describe_();
  }
}

}  // namespace skep::sim
