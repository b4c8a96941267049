// Leaving a swarm: every task ends, and nothing of the swarm stays on disk. The installation id does.
#include "core/agentd/credentials.h"
#include "core/agentd/identity.h"
#include "core/agentd/swarm_security.h"
#include "skep/control.methods.h"
#include "skep/log.h"
#include "skep/network.methods.h"
#include "skep/runtime.methods.h"
#include "skep/volume.methods.h"

namespace skep::agentd {

namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kTasksLookAgain = 200ms;
constexpr std::chrono::milliseconds kStepDownLimit = 10s;
constexpr Duration kGoodbyeLimit = 3s;

/// Runs callbacks one after the other; `next` starts the following one.
using StepDone = std::function<void()>;
using Step = std::function<void(StepDone next)>;

void run_steps(std::shared_ptr<std::vector<Step>> steps, std::size_t index, StepDone done) {
  if (index == steps->size()) {
    return done();
  }
  (*steps)[index]([steps, index, done] { run_steps(steps, index + 1, done); });
}

/// "Nothing is in use": the driver removes whatever bears our tag.
template <class M>
Step recover_nothing(rpc::Caller& caller, const std::string& driver) {
  return [&caller, driver](const StepDone& next) {
    rpc::call<M>(caller, driver, {}, {.deadline = 60s}, [driver, next](Result<typename M::Response> reply) {
      if (!reply) {
        SKEP_WARN("driver not cleaned at leave", {"driver", driver}, {"cause", reply.error().message});
      }
      next();
    });
  };
}

}  // namespace

void Swarm::leave(bool force, std::function<void(Status)> done) {
  if (!membership_) {
    return done(Error{Code::kFailedPrecondition, "this node is not part of a swarm", "NOT_IN_SWARM"});
  }
  if (changing_) {
    return done(Error{Code::kUnavailable, "this node is just joining or leaving a swarm: try again soon",
                      "CHANGING"});
  }
  if (locked() && !force) {
    return done(Error{Code::kFailedPrecondition,
                      "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message",
                      "LOCKED"});
  }
  if (membership_->manager() && !force) {
    return done(leave_warning());
  }
  changing_ = true;
  const auto end = [this, done] {
    stop([this, done] {
      manager_.reset();
      node_.reset();
      records_.reset();
      remove_tasks([this, done] {
        auto status = forget();
        changing_ = false;
        done(std::move(status));
      });
    });
  };
  step_down([this, end] { say_goodbye(env_.clock.now() + kGoodbyeLimit, end); });
}

/// With the managers' word that it is down nobody waits for this node. Its session may just go over to
/// another leader.
void Swarm::say_goodbye(TimePoint deadline, std::function<void()> then) {
  if (!node_) {
    return then();
  }
  if (node_->counters().session || env_.clock.now() >= deadline) {
    return node_->announce(node::Farewell::kForGood, std::move(then));
  }
  env_.loop.run_after(kTasksLookAgain, [this, deadline, then = std::move(then)] {
    say_goodbye(deadline, then);
  });
}

Error Swarm::leave_warning() const {
  const std::size_t managers = manager_ ? manager_->consensus().members().size() : 0;
  std::string text = "you are attempting to leave the swarm on a node that is participating as a manager. ";
  if (managers <= 1) {
    return Error{Code::kFailedPrecondition,
                 text + "Removing the last manager erases all current state of the swarm. Use `--force` to "
                        "ignore this message",
                 "LAST_MANAGER"};
  }
  if (managers - 1 < managers / 2 + 1) {
    text += "Removing this node leaves " + std::to_string(managers - 1) + " managers out of " +
            std::to_string(managers) + ". Without a Raft quorum your swarm will be inaccessible. ";
  }
  return Error{Code::kFailedPrecondition,
               text + "The only way to restore a swarm that has lost consensus is to reinitialize it with "
                      "`--force-new-cluster`. Demote this node first, or use `--force` to suppress this message",
               "NODE_IS_MANAGER"};
}

void Swarm::step_down(std::function<void()> then) {
  namespace methods = control::v1::methods;
  if (!manager_ || manager_->consensus().members().size() <= 1) {
    return then();
  }
  const auto go_on = [then](const Error& why) {
    SKEP_WARN("this manager leaves without the others' consent", {"cause", why.message});
    then();
  };
  control::v1::GetNodeRequest get;
  get.set_ref(membership_->node_id());
  rpc::call<methods::GetNode>(
      caller_, "core", get, {.deadline = kStepDownLimit},
      [this, then, go_on](const Result<control::v1::GetNodeResponse>& node) {
        if (!node) {
          return go_on(node.error());
        }
        control::v1::UpdateNodeRequest update;
        update.set_ref(node->node().id());
        update.set_version(node->node().meta().version());
        *update.mutable_spec() = node->node().spec();
        update.mutable_spec()->set_role(model::v1::NODE_ROLE_WORKER);
        rpc::call<methods::UpdateNode>(caller_, "core", update, {.deadline = kStepDownLimit},
                                       [this, then, go_on](const auto& updated) {
                                         updated ? await_worker(env_.clock.now() + kStepDownLimit, then)
                                                 : go_on(updated.error());
                                       });
      });
}

void Swarm::await_worker(TimePoint deadline, std::function<void()> then) {
  if (!membership_->manager() || env_.clock.now() >= deadline) {
    return then();
  }
  env_.loop.run_after(kTasksLookAgain, [this, deadline, then = std::move(then)] {
    await_worker(deadline, then);
  });
}

void Swarm::hand_over(Duration patience, std::function<void(Status)> done) {
  if (!node_) {
    return done(ok());
  }
  SKEP_INFO("this node hands its tasks over");
  node_->set_stopping(true);
  await_no_tasks(env_.clock.now() + patience, std::move(done));
}

void Swarm::await_no_tasks(TimePoint deadline, std::function<void(Status)> done) {
  const std::size_t left = node_ ? node_->counters().alive : 0;
  if (left == 0) {
    return done(ok());
  }
  if (env_.clock.now() >= deadline) {
    node_->set_stopping(false);
    return done(Error{Code::kTimeout,
                      std::to_string(left) + " tasks still run here: the managers cannot be reached, or the "
                      "tasks take longer to end; this node goes on",
                      "TASKS_LEFT"});
  }
  env_.loop.run_after(kTasksLookAgain, member_.wrap([this, deadline, done = std::move(done)] {
    await_no_tasks(deadline, done);
  }));
}

void Swarm::remove_tasks(std::function<void()> done) {
  auto steps = std::make_shared<std::vector<Step>>();
  const auto drivers = plugins_.drivers();
  // Containers first: what they use can go only after them.
  for (const auto& driver : drivers) {
    if (driver.name.starts_with("runtime/")) {
      steps->push_back(recover_nothing<runtime::v1::methods::Recover>(caller_, driver.name));
    }
  }
  for (const auto& driver : drivers) {
    if (driver.name.starts_with("network/")) {
      steps->push_back(recover_nothing<network::v1::methods::Recover>(caller_, driver.name));
    } else if (driver.name.starts_with("volume/")) {
      steps->push_back(recover_nothing<volume::v1::methods::Recover>(caller_, driver.name));
    }
  }
  steps->push_back([this](const StepDone& next) {
    sandboxes_->list([this, next](Result<std::vector<std::string>> ids) {
      auto removals = std::make_shared<std::vector<Step>>();
      for (const std::string& id : ids ? *ids : std::vector<std::string>()) {
        removals->push_back([this, id](const StepDone& removed) {
          sandboxes_->remove(id, [removed](Status) { removed(); });
        });
      }
      run_steps(removals, 0, next);
    });
  });
  run_steps(steps, 0, std::move(done));
}

Status Swarm::forget() {
  manager_.reset();
  node_.reset();
  records_.reset();
  auto membership = std::exchange(membership_, std::nullopt);
  trouble_.clear();
  link_trouble_.clear();
  listen_trouble_.clear();
  joining_.reset();
  credentials_.reset();
  member_.expire();
  join_members_.clear();
  told_role_ = model::v1::NODE_ROLE_WORKER;
  promotion_.give_up(Error{Code::kCancelled, "this node left the swarm", "LEFT"});
  security_->clear();
  book_.forget();
  env_.loop.cancel_timer(std::exchange(renewal_timer_, 0));
  env_.loop.cancel_timer(std::exchange(listen_timer_, 0));
  link_.clear();
  // The membership goes last: a start in between reads that the rest is to be removed. State without
  // a membership is a lost file, which start() refuses.
  if (membership) {
    membership->set_leaving(true);
    if (auto marked = save_membership(paths_, env_.disk, *membership); !marked) {
      SKEP_WARN("the leave is not noted; removing the rest", {"cause", marked.error().message});
    }
  }
  SKEP_TRY(forget_credentials(paths_, env_.disk));
  SKEP_TRY(env_.disk.remove_tree(paths_.state_dir + "/node.db"));
  SKEP_TRY(remove_manager_state());
  return forget_membership(paths_, env_.disk);
}

}  // namespace skep::agentd
