// See recovery.h and recovery_files.h.
//
// The node side is not touched: tasks go on. Until swarm.pb is written nothing of the old log and
// state changed, and the old manager is started again when something fails; afterwards a crash goes
// forward.
#include "core/agentd/recovery.h"

#include <algorithm>
#include <utility>

#include "core/agentd/identity.h"
#include "core/agentd/recovery_files.h"
#include "core/agentd/swarm_security.h"
#include "core/control/errors.h"
#include "core/store/leveldb_backend.h"
#include "skep/log.h"

namespace skep::agentd {

namespace {
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kReadOutLimit = 60s;
constexpr Duration kLeadLimit = 20s;
}  // namespace

struct Recovery::Attempt {
  agent::v1::SwarmMembership next;
  std::function<void(Result<std::string>)> done;
  TimerId limit = 0;
  bool over = false;  // given up
};

Status Recovery::may_begin() const {
  if (swarm_.changing_) {
    return Error{Code::kUnavailable,
                 "this node is just joining, leaving or changing a swarm: try again soon",
                 "CHANGING"};
  }
  SKEP_TRY(may_recover(swarm_.membership_));
  if (swarm_.locked()) {
    return control::locked();
  }
  if (swarm_.security_->sealer() == nullptr) {
    return Error(control::manager_down(swarm_.trouble()));
  }
  const bool alone = swarm_.manager_ && swarm_.manager_->consensus().members().size() <= 1;
  if (const auto leader = swarm_.manager_ ? swarm_.manager_->leader() : std::nullopt;
      leader && !alone) {
    return Error{Code::kFailedPrecondition,
                 "the swarm has a leader" +
                     (leader->here ? " (this node)"
                                   : " ('" + leader->node_id + "' at " + leader->address + ")") +
                     ": it does not need --force-new-cluster, which would throw the other managers "
                     "out; use 'agentctl "
                     "node demote' for managers that are lost. If the leader died just now, wait "
                     "some seconds",
                 "QUORUM_THERE"};
  }
  return ok();
}

std::vector<ManagerAddress> Recovery::other_managers() const {
  std::vector<ManagerAddress> others;
  const auto add = [&](const std::optional<ManagerAddress>& one) {
    if (one && one->node_id != swarm_.membership_->node_id() &&
        std::find(others.begin(), others.end(), *one) == others.end()) {
      others.push_back(*one);
    }
  };
  for (const std::string& told : swarm_.book_.managers()) {
    add(parse_manager(told));
  }
  if (swarm_.manager_) {
    for (const auto& member : swarm_.manager_->consensus().members()) {
      add(ManagerAddress{member.node_id(), member.address()});
    }
  }
  return others;
}

Error Recovery::led_elsewhere(const OtherLeader& other) const {
  const std::string& self = swarm_.membership_->node_id();
  const bool ended = !swarm_.manager_ || swarm_.manager_->failure() != nullptr;
  return Error{Code::kFailedPrecondition,
               "manager '" + other.manager.node_id + "' at " + other.manager.address +
                   (other.leads ? " leads this swarm" : " says that this swarm has a leader") +
                   ": --force-new-cluster would make a second swarm of it and throw the other managers out; " +
                   (ended ? "'agentctl node demote " + self + "' and then 'agentctl node promote " + self +
                                "' there make this node a manager again"
                          : "'agentctl info' here says why this manager does not follow it") +
                   ". If the others are to be thrown out nevertheless, stop agentd here and give the command "
                   "again: then they are not asked",
               "QUORUM_THERE"};
}

void Recovery::force_new_cluster(const agent::v1::InitRequest& request,
                                 std::function<void(Result<std::string>)> done) {
  if (auto allowed = may_begin(); !allowed) {
    return done(std::move(allowed).error());
  }
  swarm_.changing_ = true;
  find_other_leader(swarm_.link_, other_managers(), swarm_.membership_->incarnation(),
                    swarm_.member_.wrap([this, request, done](const std::optional<OtherLeader>& other) {
                      swarm_.changing_ = false;
                      other ? done(led_elsewhere(*other)) : make_anew(request, done);
                    }));
}

void Recovery::make_anew(const agent::v1::InitRequest& request,
                         std::function<void(Result<std::string>)> done) {
  if (auto allowed = may_begin(); !allowed) {
    return done(std::move(allowed).error());
  }
  auto attempt = std::make_shared<Attempt>();
  attempt->next =
      recovered_membership(*swarm_.membership_, swarm_.env_.random, swarm_.env_.clock.wall_now());
  if (auto chosen =
          choose_addresses(request.advertise_address(), request.listen_address(), attempt->next);
      !chosen) {
    return done(std::move(chosen).error());
  }
  attempt->done = std::move(done);
  swarm_.changing_ = true;
  swarm_.trouble_.clear();
  SKEP_WARN("the swarm is made anew from this manager's state",
            {"incarnation", attempt->next.incarnation()});
  const auto go_on = [this, attempt](const Status&) { copy_state(attempt); };
  swarm_.manager_ ? swarm_.manager_->stop(swarm_.member_.wrap(go_on)) : go_on(ok());
}

void Recovery::copy_state(const std::shared_ptr<Attempt>& attempt) {
  swarm_.manager_.reset();
  auto status = std::make_shared<Status>(ok());
  const auto started = swarm_.env_.workers.run(
      [paths = swarm_.paths_, status] { *status = copy_manager_state(paths); },
      swarm_.member_.wrap([this, attempt, status] {
        *status ? read_out_log(attempt) : give_up(attempt, status->error());
      }));
  if (!started) {
    give_up(attempt, started.error());
  }
}

void Recovery::read_out_log(const std::shared_ptr<Attempt>& attempt) {
  control::ManagerConfig config;
  config.node_id = swarm_.membership_->node_id();
  config.cluster_id = swarm_.membership_->cluster_id();
  config.member_id = swarm_.membership_->member_id();
  config.incarnation = swarm_.membership_->incarnation();
  config.consensus_target = "consensus/" + swarm_.config_.consensus;
  config.recover = true;
  config.sealer = swarm_.security_->key().sealer();
  const auto fail = [this, attempt](const Error& error) {
    error.reason == "LOG_LOST" ? go_on_without_log(attempt) : give_up(attempt, error);
  };
  control::Manager::Handlers handlers;
  handlers.on_fatal = fail;
  handlers.on_read_out = [this, attempt] {
    swarm_.manager_->stop(swarm_.member_.wrap([this, attempt](const Status& saved) {
      saved ? rewrite_state(attempt) : give_up(attempt, saved.error());
    }));
  };
  swarm_.manager_ = std::make_unique<control::Manager>(
      swarm_.env_, swarm_.caller_,
      std::make_shared<store::LevelDbBackend>(recovered_path(swarm_.paths_)), std::move(config),
      std::move(handlers));
  attempt->limit = swarm_.env_.loop.run_after(kReadOutLimit, swarm_.member_.wrap([this, attempt] {
    attempt->limit = 0;
    give_up(attempt, Error{Code::kTimeout,
                           "the log of this manager was not read in time: " +
                               (swarm_.manager_ ? swarm_.manager_->trouble() : std::string()),
                           "NO_CONSENSUS"});
  }));
  swarm_.manager_->start(swarm_.member_.wrap([fail](const Status& status) {
    if (!status) {
      fail(status.error());
    }
  }));
  swarm_.tell_manager_of_consensus();
}

void Recovery::go_on_without_log(const std::shared_ptr<Attempt>& attempt) {
  SKEP_WARN("the log of this manager is lost: the swarm goes on from manager.db, which may lack the newest changes");
  swarm_.manager_->stop(swarm_.member_.wrap([this, attempt](const Status& closed) {
    closed ? rewrite_state(attempt) : give_up(attempt, closed.error());
  }));
}

void Recovery::rewrite_state(const std::shared_ptr<Attempt>& attempt) {
  swarm_.env_.loop.cancel_timer(std::exchange(attempt->limit, 0));
  if (attempt->over) {
    return;
  }
  swarm_.manager_.reset();
  auto status = std::make_shared<Status>(ok());
  const auto started = swarm_.env_.workers.run(
      [state = sealed_state(recovered_path(swarm_.paths_), swarm_.security_->key().sealer(),
                            swarm_.env_.random),
       next = attempt->next, now = swarm_.env_.clock.wall_now(), status]() mutable {
        *status = rewrite_recovered(*state, next, now);
        state.reset();  // closed before it takes its place
      },
      swarm_.member_.wrap([this, attempt, status] {
        *status ? take_up(attempt) : give_up(attempt, status->error());
      }));
  if (!started) {
    give_up(attempt, started.error());
  }
}

void Recovery::take_up(const std::shared_ptr<Attempt>& attempt) {
  if (auto saved = save_membership(swarm_.paths_, swarm_.env_.disk, attempt->next); !saved) {
    return give_up(attempt, std::move(saved).error());
  }
  const bool moved = attempt->next.listen_address() != swarm_.membership_->listen_address();
  *swarm_.membership_ = attempt->next;
  swarm_.join_members_.clear();
  swarm_.book_.forget();
  if (auto finished = finish(); !finished) {
    swarm_.trouble_ = finished.error().message;
    swarm_.changing_ = false;
    return attempt->done(std::move(finished).error().with_context(
        "the new swarm is written, and is taken up when agentd is started again"));
  }
  if (moved) {
    swarm_.link_.stop_listening();
  }
  if (swarm_.credentials_ && swarm_.link_.port() == 0) {
    swarm_.listen();
  }
  swarm_.start_manager(
      swarm_.member_.wrap([this](const Status& status) { swarm_.manager_started(status); }));
  swarm_.manager_->when_leading(kLeadLimit, swarm_.member_.wrap([this, attempt](Status leading) {
    swarm_.changing_ = false;
    leading ? attempt->done(swarm_.membership_->node_id())
            : attempt->done(std::move(leading).error());
  }));
}

void Recovery::give_up(const std::shared_ptr<Attempt>& attempt, Error error) {
  if (std::exchange(attempt->over, true)) {
    return;
  }
  swarm_.env_.loop.cancel_timer(std::exchange(attempt->limit, 0));
  SKEP_ERROR("the swarm was not made anew; nothing was changed", {"cause", error.message});
  const auto as_before = [this, attempt, error = std::move(error)](const Status&) {
    swarm_.manager_.reset();
    if (auto removed = remove_recovered(swarm_.paths_); !removed) {
      SKEP_WARN("a copy of the state stays", {"cause", removed.error().message});
    }
    swarm_.changing_ = false;
    swarm_.start_manager(
        swarm_.member_.wrap([this](const Status& status) { swarm_.manager_started(status); }));
    attempt->done(error);
  };
  // Posted: the manager that failed may be calling.
  swarm_.env_.loop.post(swarm_.member_.wrap([this, as_before] {
    swarm_.manager_ ? swarm_.manager_->stop(swarm_.member_.wrap(as_before)) : as_before(ok());
  }));
}

void Recovery::begin_at_start() {
  const agent::v1::InitRequest wish = swarm_.membership_->recover_at_start();
  swarm_.membership_->clear_recover_at_start();  // on disk with the next change
  make_anew(wish, [this](const Result<std::string>& done) {
    if (done) {
      return;
    }
    const std::string cause =
        "the swarm was not made anew, as 'swarm init --force-new-cluster' wanted: " +
        done.error().message;
    SKEP_ERROR("a recovery that was asked for before the start failed",
               {"cause", done.error().message});
    if (auto saved = save_membership(swarm_.paths_, swarm_.env_.disk, *swarm_.membership_);
        !saved) {
      SKEP_WARN("it is tried again at the next start", {"cause", saved.error().message});
    }
    if (!swarm_.manager_ && !swarm_.membership_->recovering()) {
      swarm_.start_manager(
          swarm_.member_.wrap([this](const Status& status) { swarm_.manager_started(status); }));
    }
    swarm_.trouble_ = cause;
  });
}

Status Recovery::finish() {
  if (!swarm_.membership_->recovering()) {
    return ok();
  }
  if (swarm_.env_.disk.exists(recovered_path(swarm_.paths_))) {
    SKEP_TRY(swarm_.plugins_.reset_state(swarm_.config_.consensus));
    SKEP_TRY(put_recovered_in_place(swarm_.paths_, swarm_.env_.disk));
  }
  swarm_.membership_->set_recovering(false);
  SKEP_INFO("a new incarnation of the swarm begins",
            {"incarnation", swarm_.membership_->incarnation()});
  return save_membership(swarm_.paths_, swarm_.env_.disk, *swarm_.membership_);
}

void Recovery::note_bootstrapped() {
  if (swarm_.membership_->bootstrapped() || swarm_.membership_->incarnation() == 0) {
    return;
  }
  swarm_.membership_->set_bootstrapped(true);
  if (auto saved = save_membership(swarm_.paths_, swarm_.env_.disk, *swarm_.membership_); !saved) {
    SKEP_WARN("that the log exists is not noted", {"cause", saved.error().message});
    swarm_.membership_->set_bootstrapped(false);
  }
}

Status Recovery::note_log_made() {
  agent::v1::SwarmMembership noted = *swarm_.membership_;
  noted.set_log_made(true);
  // The log's own names are synced by the plugin, that of its directory here.
  SKEP_TRY(swarm_.env_.disk.sync_directory(swarm_.paths_.state_dir + "/plugins"));
  SKEP_TRY(save_membership(swarm_.paths_, swarm_.env_.disk, noted));
  *swarm_.membership_ = std::move(noted);
  return ok();
}

void Recovery::follow(std::uint64_t incarnation) {
  if (told_by_ < incarnation) {
    swarm_.told_role_.reset();
  }
  swarm_.membership_->set_incarnation(incarnation);  // kept with the demotion that follows
}

Status Recovery::admit(const dispatch::v1::SessionMessage& message) {
  if (!swarm_.membership_) {
    return ok();
  }
  if (message.incarnation() < swarm_.membership_->incarnation()) {
    if (const auto leader = parse_manager(message.leader())) {
      swarm_.book_.failed(leader->node_id);
    }
    return Error{Code::kUnavailable, "that manager belongs to an older incarnation of the swarm",
                 "OLD_INCARNATION"};
  }
  told_by_ = message.incarnation();
  if (told_by_ == swarm_.membership_->incarnation()) {
    return ok();
  }
  if (swarm_.membership_->manager()) {
    return ok();  // this manager finds out for itself that it is none any more
  }
  SKEP_INFO("the swarm was made anew; this node follows", {"incarnation", message.incarnation()});
  swarm_.membership_->set_incarnation(message.incarnation());
  return save_membership(swarm_.paths_, swarm_.env_.disk, *swarm_.membership_);
}

}  // namespace skep::agentd
