// Leaving a swarm: every task ends, and nothing of the swarm stays on disk. The installation id does.
#include <algorithm>

#include "core/agentd/credentials.h"
#include "core/agentd/identity.h"
#include "core/agentd/leave_warning.h"
#include "core/agentd/leftovers.h"
#include "core/agentd/swarm_security.h"
#include "skep/control.methods.h"
#include "skep/log.h"
#include "skep/pages.h"

namespace skep::agentd {

namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kTasksLookAgain = 200ms;
constexpr std::chrono::milliseconds kStepDownLimit = 10s;
constexpr std::chrono::milliseconds kUpLimit = 5s;  // to hear from the leader which managers are up
constexpr Duration kGoodbyeLimit = 3s;

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
    return warn_leaving(std::move(done));
  }
  changing_ = true;
  const auto end = [this, done] {
    stop([this, done] {
      manager_.reset();
      node_.reset();
      records_.reset();
      leftovers_->remove([this, done](const std::vector<host::AbsentDriver>& absent) {
        for (const auto& driver : absent) {
          SKEP_WARN("driver not cleaned at leave: what it holds goes when its plugin runs again, see `agentctl plugin ls`",
                    {"driver", driver.name}, {"cause", driver.why});
        }
        auto status = forget();
        changing_ = false;
        drivers_changed();
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

void Swarm::warn_leaving(std::function<void(Status)> done) {
  const std::size_t total = manager_ ? manager_->consensus().members().size() : book_.managers().size();
  if (total <= 1) {
    return done(leave_warning(total, total));
  }
  rpc::call_pages<control::v1::methods::ListNodes>(
      caller_, "core", {}, {.deadline = kUpLimit}, [total, done](const Result<control::v1::ListNodesResponse>& nodes) {
        if (!nodes) {
          return done(leave_warning(total, std::nullopt));
        }
        const auto up = std::count_if(nodes->nodes().begin(), nodes->nodes().end(),
                                      [](const auto& node) { return node.manager_status().reachability() == 2; });
        done(leave_warning(total, static_cast<std::size_t>(up)));
      });
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
                      "tasks take longer to end",
                      "TASKS_LEFT"});
  }
  // Not bound to the membership: whoever waits is answered also when the node leaves meanwhile.
  env_.loop.run_after(kTasksLookAgain, [this, deadline, done = std::move(done)] { await_no_tasks(deadline, done); });
}

Status Swarm::forget() {
  manager_.reset();
  node_.reset();
  records_.reset();
  auto membership = std::exchange(membership_, std::nullopt);
  drivers_changed();
  trouble_.clear();
  link_trouble_.clear();
  listen_trouble_.clear();
  joining_.reset();
  credentials_.reset();
  member_.expire();
  join_members_.clear();
  told_role_.reset();
  promotion_.give_up(Error{Code::kCancelled, "this node left the swarm", "LEFT"});
  security_->clear();
  book_.forget();
  renewal_.stop();
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
