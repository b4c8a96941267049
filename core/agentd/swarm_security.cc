// See swarm_security.h.
#include "core/agentd/swarm_security.h"

#include <utility>

#include "core/agentd/address.h"
#include "core/agentd/credentials.h"
#include "core/agentd/identity.h"
#include "core/agentd/version.h"
#include "core/link/root.h"
#include "skep/log.h"

namespace skep::agentd {

namespace {
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kWrapAgain = 10s;
constexpr Duration kDropAgain = 10s;
constexpr Duration kRenewSpread = 1s;       // a whole swarm is told to renew at once
constexpr Duration kLifeTolerated = 10min;  // beyond what the swarm wants
}  // namespace

Swarm::Security::Security(Swarm& swarm)
    : swarm_(swarm), env_(swarm.env_), key_(swarm.paths_, swarm.env_.disk, swarm.env_.random) {}

Swarm::Security::~Security() {
  env_.loop.cancel_timer(wrap_timer_);
  env_.loop.cancel_timer(drop_timer_);
}

bool Swarm::locked() const {
  return security_->key().locked();
}

const std::string& Swarm::unlock_key() const {
  return security_->key().unlock_key();
}

Status Swarm::Security::open() {
  auto status = key_.open();
  if (status && key_.locked()) {
    SKEP_WARN("this manager is locked: 'agentctl swarm unlock' starts it; its tasks keep running");
  }
  return status;
}

Status Swarm::Security::take(const manager::v1::JoinResponse& answer) {
  SKEP_TRY(key_.take(answer.data_key(), answer.unlock_key(), answer.unlock_version()));
  // What this node kept open as a worker.
  return swarm_.credentials_ ? save_credentials(swarm_.paths_, env_.disk, env_.random, sealer(),
                                                *swarm_.credentials_)
                             : ok();
}

void Swarm::Security::clear() {
  tls_.Clear();
  renewal_wished_ = false;
  env_.loop.cancel_timer(std::exchange(wrap_timer_, 0));
  dropping_ = false;
  env_.loop.cancel_timer(std::exchange(drop_timer_, 0));
}

Status Swarm::Security::give_up() {
  if (swarm_.credentials_) {
    // Open again, and first: nobody could read it without the data key.
    SKEP_TRY(
        save_credentials(swarm_.paths_, env_.disk, env_.random, nullptr, *swarm_.credentials_));
  }
  return key_.forget();
}

void Swarm::Security::drop_manager_state() {
  dropping_ = true;
  env_.loop.cancel_timer(std::exchange(drop_timer_, 0));
  if (auto status = manager_state_dropped(); !status) {
    swarm_.trouble_ = status.error().message;
    SKEP_ERROR("what this node kept as a manager is not removed; trying again",
               {"cause", swarm_.trouble_});
    drop_timer_ = env_.loop.run_after(kDropAgain, [this] {
      drop_timer_ = 0;
      drop_manager_state();
    });
  }
}

Status Swarm::Security::manager_state_dropped() {
  if (!dropping_) {
    return ok();
  }
  // First: until it is on disk that this node is a worker, a start takes it for a manager.
  SKEP_TRY(save_membership(swarm_.paths_, env_.disk, *swarm_.membership_));
  SKEP_TRY(swarm_.remove_manager_state());
  dropping_ = false;
  env_.loop.cancel_timer(std::exchange(drop_timer_, 0));
  swarm_.trouble_.clear();
  return ok();
}

void Swarm::unlock(const std::string& key, std::function<void(Status)> done) {
  if (!membership_) {
    return done(
        Error{Code::kFailedPrecondition, "this node is not part of a swarm", "NOT_IN_SWARM"});
  }
  if (!security_->key().locked()) {
    return done(Error{Code::kFailedPrecondition, "swarm is not locked", "NOT_LOCKED"});
  }
  if (auto status = security_->key().unlock(key); !status) {
    SKEP_WARN("this manager was not unlocked", {"cause", status.error().message});
    return done(std::move(status));
  }
  SKEP_INFO("this manager is unlocked");
  begin_roles();
  done(ok());
}

void Swarm::Security::swarm_told(const model::v1::Cluster& cluster) {
  env_.loop.cancel_timer(std::exchange(wrap_timer_, 0));
  if (auto status = key_.wrap(cluster.unlock_key(), cluster.meta().version()); !status) {
    SKEP_ERROR("the new unlock key does not hold for this manager yet; trying again",
               {"cause", status.error().message});
    wrap_timer_ = env_.loop.run_after(kWrapAgain, [this, cluster] {
      wrap_timer_ = 0;
      swarm_told(cluster);
    });
  }
}

void Swarm::Security::follow_wishes(const dispatch::v1::SessionMessage& message) {
  if (!swarm_.credentials_ || message.session_id().empty()) {
    return;
  }
  const std::string& certificate = swarm_.credentials_->pair.certificate;
  if (!message.roots().empty() && message.roots() != swarm_.credentials_->roots) {
    link::Credentials fresh = *swarm_.credentials_;
    fresh.roots = message.roots();
    // Not before our own certificate is good for those roots: the renewal brings both.
    if (link::verify_whatever_date(certificate, fresh.roots, fresh.cluster_id)) {
      if (auto status = swarm_.save_and_use(fresh); !status) {
        SKEP_ERROR("the roots of the swarm were not saved", {"cause", status.error().message});
      } else {
        SKEP_INFO("the roots that this node trusts changed");
      }
    }
  }
  const auto facts = link::read_certificate(swarm_.credentials_->pair.certificate);
  const auto issuer =
      link::issuer_of(swarm_.credentials_->pair.certificate, swarm_.credentials_->roots);
  const bool foreign = !message.issuer_public_key().empty() &&
                       (!issuer || issuer->public_key != message.issuer_public_key());
  const bool long_lived = message.certificate_life() > 0 && facts &&
                          facts->not_after - env_.clock.wall_now() >
                              message.certificate_life() + kLifeTolerated.count();
  if ((!foreign && !long_lived) || std::exchange(renewal_wished_, true)) {
    return;
  }
  env_.loop.cancel_timer(swarm_.renewal_timer_);
  const auto spread = env_.random.below(static_cast<std::uint64_t>(kRenewSpread.count()));
  swarm_.renewal_timer_ = env_.loop.run_after(Duration(static_cast<std::int64_t>(spread)), [this] {
    swarm_.renewal_timer_ = 0;
    renewal_wished_ = false;
    swarm_.renew();
  });
}

void Swarm::Security::note_tls() {
  tls_.Clear();
  if (!swarm_.credentials_) {
    return;
  }
  tls_.set_trust_root(swarm_.credentials_->roots);
  if (const auto issuer =
          link::issuer_of(swarm_.credentials_->pair.certificate, swarm_.credentials_->roots)) {
    tls_.set_issuer_subject(issuer->subject);
    tls_.set_issuer_public_key(issuer->public_key);
  }
  if (swarm_.node_) {
    swarm_.node_->describe();
  }
}

bool Swarm::Security::certificate_expired() const {
  const auto facts = swarm_.credentials_
                         ? link::read_certificate(swarm_.credentials_->pair.certificate)
                         : Result<link::CertificateFacts>(Error{Code::kNotFound, "none"});
  return facts && facts->not_after < env_.clock.wall_now();
}

void Swarm::Security::come_back(const agent::v1::JoinRequest& request,
                                std::function<void(Status)> done) {
  const auto token = link::parse_join_token(request.token());
  const auto where =
      request.managers().empty()
          ? Result<link::HostPort>(
                Error{Code::kInvalidArgument, "no manager to join was named", "NO_MANAGER_NAMED"})
          : link::parse_host_port(request.managers(0), link::kManagementPort);
  auto again = link::request_for(swarm_.credentials_->pair.key);
  if (!token || !where || !again) {
    return done(!token ? token.error() : !where ? where.error() : again.error());
  }
  ca::v1::IssueRequest issue;
  issue.set_expired_certificate(swarm_.credentials_->pair.certificate);
  link::Joining::Options options;
  options.address = link::to_text(*where);
  options.version = kVersion;
  options.key = {*again, swarm_.credentials_->pair.key};
  swarm_.changing_ = true;
  swarm_.joining_ = std::make_unique<link::Joining>(
      env_, std::move(options), *token, std::move(issue),
      [this, done](Result<link::Joined> result) {
        swarm_.joining_.reset();
        swarm_.changing_ = false;
        Status status =
            result ? swarm_.save_and_use(result->credentials) : Status(std::move(result).error());
        if (status) {
          SKEP_INFO("this node is back in its swarm with a new certificate",
                    {"node", swarm_.membership_->node_id()});
          swarm_.link_trouble_.clear();
          const auto& managers = result->answer.managers();
          swarm_.book_.learn({managers.begin(), managers.end()}, "");
          if (swarm_.membership_->manager()) {
            swarm_.listen();
          }
        }
        done(std::move(status));
      });
}

}  // namespace skep::agentd
