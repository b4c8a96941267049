// How this node becomes a manager and a worker again. See swarm.h.
#include <algorithm>
#include <functional>

#include "core/agentd/identity.h"
#include "core/agentd/swarm_security.h"
#include "core/control/errors.h"
#include "skep/log.h"

namespace skep::agentd {

Promotion::Hooks Swarm::promotion_hooks() {
  Promotion::Hooks hooks;
  hooks.has_certificate = [this] { return certificate_role() == link::Role::kManager; };
  hooks.fetch_certificate = [this](auto done) { fetch_certificate(std::move(done)); };
  hooks.listen = [this] {
    return link_.port() != 0 ? ok() : link_.listen(membership_->listen_address());
  };
  hooks.given_up = [this] {
    link_.stop_listening();
    if (membership_ && !membership_->manager() && security_->key().present()) {
      security_->drop_manager_state();  // taken in, and that could not be noted
    }
  };
  hooks.request = [this] {
    manager::v1::JoinRequest request;
    request.set_node_id(membership_->node_id());
    request.set_address(membership_->advertise_address());
    return request;
  };
  hooks.taken_in = [this](const manager::v1::JoinResponse& answer) { return taken_in(answer); };
  return hooks;
}

void Swarm::role_told(model::v1::NodeRole role) {
  told_role_ = role;
  if (!membership_ || changing_) {
    return;
  }
  if (membership_->manager()) {
    // It learns from the log that it is none any more, unless that is lost or damaged.
    if (role == model::v1::NODE_ROLE_WORKER && manager_ && manager_->failure() != nullptr) {
      // Posted: nothing may write to its state any more when that is removed.
      env_.loop.post(member_.wrap([this] {
        if (manager_ && manager_->failure() != nullptr) {
          manager_->stop(member_.wrap([this](const Status&) {
            if (membership_->manager()) {
              demoted();
            }
          }));
        }
      }));
    }
    return;
  }
  if (role == model::v1::NODE_ROLE_MANAGER) {
    return promotion_.begin();
  }
  promotion_.give_up(
      Error{Code::kFailedPrecondition, "this node is to be a worker after all", "NOT_PROMOTED"});
  if (certificate_role() == link::Role::kManager && renewal_.waits()) {
    renewal_.stop();
    renew();
  }
}

std::optional<link::Role> Swarm::certificate_role() const {
  if (!credentials_) {
    return std::nullopt;
  }
  const auto facts = link::read_certificate(credentials_->pair.certificate);
  return facts ? std::optional(facts->identity.role) : std::nullopt;
}

Result<control::Manager*> Swarm::serving_manager() {
  if (locked()) {
    return control::locked();
  }
  if (manager_ != nullptr) {
    return manager_.get();
  }
  if (!membership_) {
    return control::no_manager();
  }
  return membership_->manager() && !trouble().empty() ? control::manager_down(trouble())
                                                      : control::only_a_worker();
}

Status Swarm::taken_in(const manager::v1::JoinResponse& answer) {
  if (answer.incarnation() < membership_->incarnation()) {
    return Error{Code::kUnavailable, "those managers belong to an older incarnation of the swarm", "OLD_INCARNATION"};
  }
  SKEP_TRY(security_->manager_state_dropped());
  SKEP_TRY(security_->take(answer));
  auto changed = *membership_;
  changed.set_member_id(answer.member_id());
  changed.set_manager(true);
  changed.set_bootstrapped(true);
  changed.set_log_made(false);
  changed.set_incarnation(answer.incarnation());
  SKEP_TRY(save_membership(paths_, env_.disk, changed));
  *membership_ = std::move(changed);
  join_members_.assign(answer.members().begin(), answer.members().end());
  start_manager(member_.wrap([this](const Status& status) {
    manager_started(status);
    promotion_.settle(status);
  }));
  return ok();
}

void Swarm::manager_started(const Status& status) {
  if (status) {
    // Its own state holds the root: among several managers it could not lead without a certificate.
    if ((!credentials_ || security_->certificate_useless()) && manager_->store().view().cluster()) {
      certify_self();
    }
    return;
  }
  if (status.error().reason == "MEMBER_REMOVED") {
    return demoted();
  }
  if (status.error().reason == "MANAGER_STOPPED") {
    return;  // Whoever stopped it while it started goes on in its place.
  }
  trouble_ = status.error().message;
  SKEP_ERROR("the manager role cannot start; tasks keep running", {"cause", trouble_});
  if (told_role_) {
    role_told(*told_role_);
  }
}

void Swarm::demoted() {
  manager_.reset();
  join_members_.clear();
  link_.stop_listening();
  env_.loop.cancel_timer(std::exchange(listen_timer_, 0));
  listen_trouble_.clear();
  membership_->set_manager(false);
  membership_->set_member_id(0);
  membership_->set_bootstrapped(false);
  membership_->set_log_made(false);
  security_->drop_manager_state();
  SKEP_INFO("this node is a worker now");
  renewal_.stop();
  renew();
  if (told_role_ == model::v1::NODE_ROLE_MANAGER) {
    promotion_.begin();  // promoted again meanwhile; when that is old news, the managers say so
  }
}

Status Swarm::remove_manager_state() {
  SKEP_TRY(security_->give_up());
  SKEP_TRY(plugins_.reset_state(config_.consensus));
  // "manager.db" itself last: as long as it is there, the rest is to be removed. Also what was set aside
  // as damaged: it holds the key of the root certificate. And keys of which a write was interrupted.
  SKEP_TRY_ASSIGN(auto names, env_.disk.list_directory(paths_.state_dir));
  std::sort(names.begin(), names.end(), std::greater<>());
  for (const std::string& name : names) {
    if (name.starts_with("manager.db") || name.starts_with("node.key.tmp")) {
      SKEP_TRY(env_.disk.remove_tree(paths_.state_dir + "/" + name));
    }
  }
  return env_.disk.sync_directory(paths_.state_dir);
}

}  // namespace skep::agentd
