// See swarm_security.h.
#include "core/agentd/swarm_security.h"

#include <optional>
#include <utility>
#include <vector>

#include "core/agentd/certificate_wishes.h"
#include "core/agentd/credentials.h"
#include "core/agentd/identity.h"
#include "core/agentd/version.h"
#include "core/link/root.h"
#include "skep/ca.methods.h"
#include "skep/log.h"

namespace skep::agentd {

namespace {
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kWrapAgain = 10s;
constexpr Duration kDropAgain = 10s;
constexpr Duration kReturnTry = 15s;  // of one manager; agentctl waits two minutes for all
constexpr Duration kRenewSpread = 1s;       // a whole swarm is told to renew at once
}  // namespace

Swarm::Security::Security(Swarm& swarm)
    : swarm_(swarm), env_(swarm.env_), key_(swarm.paths_, swarm.env_.disk, swarm.env_.random),
      locked_(swarm.env_, swarm.paths_, locked_hooks()) {}

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

std::vector<std::string> Swarm::warnings() const {
  std::vector<std::string> out;
  if (!listen_trouble_.empty()) {
    out.push_back(listen_trouble_);
  }
  if (const std::string trouble = security_->locked_trouble(); !trouble.empty()) {
    out.push_back(trouble + (locked() ? "; 'agentctl swarm unlock' ends that" : ""));
  }
  if (const std::string trouble = security_->renewal_trouble(); !trouble.empty()) {
    out.push_back(trouble);
  }
  if (promotion_.under_way() && !promotion_.trouble().empty()) {
    out.push_back("this node is to be a manager and is none yet, it goes on trying: " + promotion_.trouble());
  }
  return out;
}

LockedCertificate::Hooks Swarm::Security::locked_hooks() {
  return {.ask =
              [this](const ca::v1::RenewRequest& request, LockedCertificate::Answer answer) {
                rpc::call<ca::v1::methods::Renew>(*swarm_.node_caller_, std::string(kManagerTarget),
                                                  request, {.deadline = 15s},
                                                  swarm_.member_.wrap(std::move(answer)));
              },
          .caught_up = [this] { note_tls(); }};
}

void Swarm::Security::begin_locked() {
  const auto& membership = *swarm_.membership_;
  swarm_.book_.learn({membership.managers().begin(), membership.managers().end()}, "");
  swarm_.book_.failed(membership.node_id());  // this one serves nobody
  const auto shown = locked_.take_up(membership.node_id(), membership.cluster_id());
  if (!shown) {
    return;
  }
  if (auto status = swarm_.link_.set_credentials(*shown); !status) {
    swarm_.link_trouble_ = status.error().message;
    return;
  }
  describe_tls(*shown);
}

void Swarm::Security::keep_locked_certificate() {
  const auto& membership = swarm_.membership_;
  if (!membership || !membership->manager() || !swarm_.credentials_ || key_.sealer() == nullptr) {
    return;
  }
  key_.unlock_key().empty() ? locked_.drop() : locked_.follow(*swarm_.credentials_);
}

Status Swarm::Security::take(const manager::v1::JoinResponse& answer) {
  SKEP_TRY(key_.take(answer.data_key(), answer.unlock_key(), answer.unlock_version()));
  // What this node kept open as a worker.
  return swarm_.credentials_ ? save_credentials(swarm_.paths_, env_.disk, env_.random, sealer(),
                                                *swarm_.credentials_)
                             : ok();
}

void Swarm::Security::clear() {
  locked_.rest();
  tls_.Clear();
  renewal_wished_ = false;
  renewal_failed_.clear();
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
  SKEP_TRY(locked_.forget());
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
  keep_locked_certificate();
}

void Swarm::Security::follow_wishes(const dispatch::v1::SessionMessage& message) {
  if (!swarm_.credentials_ || message.session_id().empty()) {
    return;
  }
  keep_locked_certificate();
  const bool other_roots = renewals_.told(message.root_version());
  if (const auto fresh = with_wanted_roots(message, *swarm_.credentials_)) {
    if (auto status = swarm_.save_and_use(*fresh); !status) {
      SKEP_ERROR("the roots of the swarm were not saved", {"cause", status.error().message});
    } else {
      SKEP_INFO("the roots that this node trusts changed");
    }
  }
  if (other_roots) {
    note_tls();
  }
  if (!must_renew(message, *swarm_.credentials_) ||
      std::exchange(renewal_wished_, true)) {
    return;
  }
  const auto spread = env_.random.below(static_cast<std::uint64_t>(kRenewSpread.count()));
  swarm_.renewal_.in(Duration(static_cast<std::int64_t>(spread)));
}

void Swarm::Security::note_tls() {
  keep_locked_certificate();
  if (!swarm_.credentials_) {
    tls_.Clear();
    return;
  }
  describe_tls(*swarm_.credentials_);
  if (swarm_.node_) {
    swarm_.node_->describe();
  }
}

void Swarm::Security::describe_tls(const link::Credentials& shown) {
  const auto issuer = link::issuer_of(shown.pair.certificate, shown.roots);
  // A new root waits for nodes by what they say here: also until locked.pem is of that root.
  const bool hold = locked_.behind() && !tls_.issuer_public_key().empty() && issuer &&
                    issuer->public_key != tls_.issuer_public_key();
  tls_.set_trust_root(shown.roots);
  if (hold) {
    return;
  }
  tls_.set_issuer_subject(issuer ? issuer->subject : "");
  tls_.set_issuer_public_key(issuer ? issuer->public_key : "");
  tls_.set_root_version(renewals_.root_version());
}

bool Swarm::Security::certificate_useless() const {
  const auto facts = swarm_.credentials_
                         ? link::read_certificate(swarm_.credentials_->pair.certificate)
                         : Result<link::CertificateFacts>(Error{Code::kNotFound, "none"});
  return facts && out_of_date(*facts, env_.clock.wall_now());
}

bool Swarm::Security::helps_itself() const {
  if (!certificate_useless() || !swarm_.manager_ || swarm_.manager_->failure() != nullptr) {
    return false;
  }
  const store::View& view = swarm_.manager_->store().view();
  const auto node = view.get<model::v1::Node>(swarm_.membership_->node_id());
  return view.cluster() && node && node->spec().role() == model::v1::NODE_ROLE_MANAGER;
}

std::string Swarm::Security::renewal_trouble() const {
  if (renewal_failed_.empty() || !certificate_useless()) {
    return "";
  }
  const auto facts = link::read_certificate(swarm_.credentials_->pair.certificate);
  return "by this machine's clock the certificate of this node is good from " + link::date_text(facts->not_before) +
         " to " + link::date_text(facts->not_after) +
         ", and it has got no other yet: set the clock if it is wrong, else 'agentctl swarm join --token TOKEN "
         "HOST:PORT' here gives this node a new one; it goes on trying: " + renewal_failed_;
}

struct Swarm::Security::Return {
  link::JoinToken token;
  link::KeyedRequest key;
  std::vector<std::string> managers;
  std::size_t next = 0;
  std::optional<Error> first_error;  // of the manager that was named
  std::function<void(Status)> done;
};

void Swarm::Security::come_back(const agent::v1::JoinRequest& request,
                                std::function<void(Status)> done) {
  const std::string& own_key = swarm_.credentials_->pair.key;
  auto token = link::parse_join_token(request.token());
  auto managers = managers_to_ask({request.managers().begin(), request.managers().end()},
                                  swarm_.book_.managers(), swarm_.membership_->node_id());
  auto again = link::request_for(own_key);
  if (!token || !managers || !again) {
    return done(!token ? token.error() : !managers ? managers.error() : again.error());
  }
  auto attempt = std::make_shared<Return>();
  attempt->token = *std::move(token);
  attempt->key = {*std::move(again), own_key};
  attempt->managers = *std::move(managers);
  attempt->done = std::move(done);
  swarm_.changing_ = true;
  try_return(attempt);
}

void Swarm::Security::try_return(const std::shared_ptr<Return>& attempt) {
  ca::v1::IssueRequest issue;
  issue.set_expired_certificate(swarm_.credentials_->pair.certificate);
  link::Joining::Options options;
  options.address = attempt->managers[attempt->next++];
  options.version = kVersion;
  options.limit = kReturnTry;
  options.key = attempt->key;
  swarm_.joining_ = std::make_unique<link::Joining>(
      env_, std::move(options), attempt->token, std::move(issue),
      [this, attempt](Result<link::Joined> result) {
        // Another manager may be there when this one is not.
        if (!result && result.error().retryable()) {
          attempt->first_error = attempt->first_error.value_or(result.error());
          if (attempt->next < attempt->managers.size()) {
            return try_return(attempt);
          }
        }
        swarm_.joining_.reset();
        swarm_.changing_ = false;
        if (result) {
          return returned(*result, attempt->done);
        }
        attempt->done(result.error().retryable() ? *attempt->first_error : std::move(result).error());
      });
}

void Swarm::Security::returned(const link::Joined& joined, const std::function<void(Status)>& done) {
  if (auto status = swarm_.save_and_use(joined.credentials); !status) {
    return done(std::move(status));
  }
  SKEP_INFO("this node is back in its swarm with a new certificate", {"node", swarm_.membership_->node_id()});
  swarm_.link_trouble_.clear();
  swarm_.book_.learn({joined.answer.managers().begin(), joined.answer.managers().end()}, "");
  if (swarm_.membership_->manager()) {
    swarm_.listen();
  }
  done(ok());
}

}  // namespace skep::agentd
