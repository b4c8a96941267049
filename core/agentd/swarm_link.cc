// What a node is to others: its certificate, the listener of a manager, and what managers tell it.
#include <algorithm>

#include "core/agentd/certificate_wishes.h"
#include "core/agentd/credentials.h"
#include "core/agentd/identity.h"
#include "core/agentd/swarm_security.h"
#include "core/control/ca/outside_signing.h"
#include "skep/ca.methods.h"
#include "skep/log.h"

namespace skep::agentd {

namespace {
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kListenAgain = 5s;
constexpr Duration kRenewAgain = 30s;
}  // namespace

void Swarm::start_link() {
  book_.learn({membership_->managers().begin(), membership_->managers().end()}, "");
  auto loaded = load_credentials(paths_, env_.disk, security_->sealer());
  if (loaded && *loaded) {
    if (auto status = use(**loaded); !status) {
      link_trouble_ = status.error().message;
    }
  } else if (!membership_->manager()) {
    // A manager helps itself.
    link_trouble_ = loaded ? "the certificate files of this node are missing: restore them from a backup, or "
                             "'agentctl swarm leave --force' and join again (that ends this node's tasks)"
                           : loaded.error().message;
    SKEP_ERROR("this node cannot speak to its managers; its tasks keep running", {"cause", link_trouble_});
  } else if (!loaded) {
    SKEP_ERROR("the certificate files are damaged; this manager makes new ones from its state",
               {"cause", loaded.error().message});
  }
  if (membership_->manager() && credentials_) {
    listen();
  }
}

Status Swarm::use(const link::Credentials& credentials) {
  SKEP_TRY(link_.set_credentials(credentials));
  credentials_ = credentials;
  security_->note_tls();
  security_->renewal_planned();
  const auto facts = link::read_certificate(credentials.pair.certificate);
  facts ? renewal_.follow(*facts) : renewal_.stop();
  return ok();
}

Status Swarm::save_and_use(const link::Credentials& credentials) {
  SKEP_TRY(save_credentials(paths_, env_.disk, env_.random, security_->sealer(), credentials));
  return use(credentials);
}

void Swarm::listen() {
  env_.loop.cancel_timer(std::exchange(listen_timer_, 0));
  auto status = link_.listen(membership_->listen_address());
  if (status) {
    listen_trouble_.clear();
    return;
  }
  if (listen_trouble_.empty()) {
    SKEP_ERROR("other nodes cannot reach this manager; trying again", {"cause", status.error().message});
  }
  listen_trouble_ = "other nodes cannot reach this manager: " + status.error().message;
  listen_timer_ = env_.loop.run_after(kListenAgain, [this] {
    listen_timer_ = 0;
    listen();
  });
}

Status Swarm::first_listen(const agent::v1::InitRequest& request) {
  auto status = link_.listen(membership_->listen_address());
  const std::string& advertise = membership_->advertise_address();
  const auto address = link::parse_host_port(membership_->listen_address(), link::kManagementPort);
  const bool any_port = request.listen_address().empty() && address && address->port == link::kManagementPort &&
                        (address->host.starts_with("127.") || address->host == "::1") &&
                        advertise == membership_->listen_address();
  if (status || !any_port || status.error().reason != "ADDRESS_IN_USE") {
    return status;
  }
  SKEP_TRY(link_.listen(link::to_text({address->host, 0})));
  const std::string chosen = link::to_text({address->host, link_.port()});
  membership_->set_advertise_address(chosen);
  membership_->set_listen_address(chosen);
  return ok();
}

void Swarm::certify_self() {
  const auto failed = [this](const Error& error) {
    link_trouble_ = error.message;
    SKEP_ERROR("this manager has no certificate", {"cause", link_trouble_});
  };
  const auto key = link::make_request();
  auto order = key ? control::order_certificate(manager_->store().view(), membership_->node_id(), key->request)
                   : Result<control::Order>(key.error());
  if (!order) {
    return failed(order.error());
  }
  if (!order->root.key.empty()) {
    order->outside.clear();  // without a certificate of its own it need not ask where it can sign
  }
  control::make_certificate(
      env_, link_.https(), *order,
      member_.wrap([this, failed, key = key->key, trusted = order->trusted](Result<std::string> certificate) {
        (void)security_->renewals().ask();  // an answer under way is for the key of before
        auto status = certificate ? save_and_use({{*std::move(certificate), key},
                                                  trusted,
                                                  membership_->cluster_id(),
                                                  membership_->node_id()})
                                  : Status(std::move(certificate).error());
        if (!status) {
          return failed(status.error());
        }
        SKEP_INFO("this manager has a new certificate");
        link_trouble_.clear();
        listen();
      }));
}

ManagerCaller::Local Swarm::local_manager() const {
  ManagerCaller::Local local;
  if (!manager_) {
    return local;
  }
  const auto leader = manager_->leader();
  local.leads = leader && leader->here;
  if (leader && !leader->here) {
    local.leader = ManagerAddress{leader->node_id, leader->address};
  }
  return local;
}

void Swarm::learn(const dispatch::v1::SessionMessage& message) {
  if (!membership_) {
    return;
  }
  if (!message.session_id().empty()) {
    link_trouble_.clear();
    role_told(message.node().spec().role());
  }
  security_->follow_wishes(message);
  if (book_.learn({message.managers().begin(), message.managers().end()}, message.leader())) {
    const auto managers = book_.managers();
    membership_->mutable_managers()->Assign(managers.begin(), managers.end());
    if (auto status = save_membership(paths_, env_.disk, *membership_); !status) {
      SKEP_WARN("the list of managers was not saved", {"cause", status.error().message});
    }
  }
}

void Swarm::renew() {
  security_->renewal_planned();
  if (security_->certificate_useless()) {
    SKEP_WARN("the clock says that the certificate of this node is out of its time; asking for another");
  }
  fetch_certificate([this](Status status) {
    if (!status && security_->helps_itself()) {
      SKEP_WARN("no manager renewed the certificate", {"cause", status.error().message});
      certify_self();
      if (!security_->certificate_useless()) {
        status = ok();
      }
    }
    security_->renewal_ended(status);
    if (status) {
      SKEP_INFO("the certificate of this node was renewed");
      return;
    }
    SKEP_WARN("the certificate was not renewed; trying again", {"cause", status.error().message});
    renewal_.in(kRenewAgain);
  });
}

void Swarm::fetch_certificate(std::function<void(const Status&)> done) {
  auto request = credentials_ ? link::request_for(credentials_->pair.key)
                              : Result<std::string>(Error{Code::kInternal, "there is no key"});
  if (!request) {
    return done(request.error());
  }
  ca::v1::RenewRequest message;
  message.set_request(*request);
  rpc::call<ca::v1::methods::Renew>(
      *node_caller_, std::string(kManagerTarget), message, {.deadline = 15s},
      member_.wrap([this, asked = security_->renewals().ask(),
                    done = std::move(done)](const Result<ca::v1::RenewResponse>& reply) {
        done(take_certificate(
            security_->renewals().answered(asked, reply, *credentials_, env_.clock.wall_now())));
      }));
}

Status Swarm::take_certificate(Result<link::Credentials> answer) {
  SKEP_TRY_ASSIGN(const link::Credentials fresh, std::move(answer));
  SKEP_TRY_ASSIGN(const auto facts, link::read_certificate(fresh.pair.certificate));
  if (facts.identity.role != link::Role::kManager && membership_->manager()) {
    // Its voice still counts until the log has let it go.
    return Error{Code::kUnavailable, "this manager is being demoted; it becomes a worker first"};
  }
  return save_and_use(fresh);
}

}  // namespace skep::agentd
