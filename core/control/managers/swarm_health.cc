#include "core/control/managers/swarm_health.h"

#include <utility>

#include "core/control/errors.h"

namespace skep::control {
namespace {

constexpr std::chrono::milliseconds kStatusDeadline{2'000};

}  // namespace

SwarmHealth::SwarmHealth(Env& env, rpc::Caller& local, const store::View& view,
                         const ConsensusClient& client, Config config)
    : env_(env),
      local_(local),
      view_(view),
      client_(client),
      config_(std::move(config)),
      watch_(config_.self, env.clock.now()) {}

SwarmHealth::~SwarmHealth() {
  for (const auto& done : std::exchange(waiting_, {})) {
    done("");
  }
}

void SwarmHealth::leader_changed(std::uint64_t leader) {
  watch_.leader_changed(leader, env_.clock.now());
  if (leader != 0) {
    // It hears of a leader, so its log works again; a leader that can store nothing says so when asked.
    failed_.clear();
    stalled_.clear();
  }
}

void SwarmHealth::refresh() {
  if (std::exchange(asking_, true)) {
    return;
  }
  rpc::call<consensus::v1::methods::Status>(
      local_, config_.consensus_target, {}, {.deadline = kStatusDeadline},
      [this, alive = std::weak_ptr<char>(alive_)](const Result<consensus::v1::StatusResponse>& status) {
        if (!alive.expired()) {
          answered(status);
        }
      });
}

void SwarmHealth::answered(const Result<consensus::v1::StatusResponse>& status) {
  asking_ = false;
  stalled_ = status ? status->stalled() : "";
  failed_ = status ? status->error()
                   : "'" + config_.consensus_target + "' does not answer: " + status.error().message;
  const std::string known = trouble();
  for (const auto& done : std::exchange(waiting_, {})) {
    done(known);
  }
}

void SwarmHealth::ask(std::function<void(std::string)> done) {
  waiting_.push_back(std::move(done));
  refresh();
}

std::string SwarmHealth::trouble() const {
  QuorumWatch::Picture picture{client_.members(), [this](const std::string& node_id) {
                                 const auto node = view_.get<model::v1::Node>(node_id);
                                 return node == nullptr || node->description().hostname().empty()
                                            ? node_id
                                            : node->description().hostname();
                               }};
  if (client_.is_open()) {
    picture.log_failed = failed_;
    picture.log_stalled = stalled_;
  } else {
    picture.log_closed = client_.trouble();
  }
  picture.now = env_.clock.now();
  picture.wall_now = env_.clock.wall_now();
  return watch_.trouble(picture);
}

Error SwarmHealth::no_leader(const std::string& else_why) const {
  Error error = control::no_leader();
  const std::string why = trouble();
  if (why.starts_with("the swarm has no leader")) {
    error.message = why;
  } else if (!why.empty()) {
    error.message = "the swarm has no leader now, as far as this manager knows: " + why;
  } else if (!else_why.empty()) {
    error.message += " (" + else_why + ")";
  }
  return error;
}

}  // namespace skep::control
