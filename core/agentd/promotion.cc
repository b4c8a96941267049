#include "core/agentd/promotion.h"

#include <algorithm>
#include <utility>

#include "core/agentd/manager_caller.h"
#include "skep/log.h"
#include "skep/manager.methods.h"

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;
constexpr Duration kJoinPatience = 20s;
constexpr Duration kPauseFirst = 250ms;
constexpr Duration kPauseMax = 5s;

}  // namespace

Promotion::Promotion(Env& env, rpc::Caller& managers, Hooks hooks)
    : env_(env), managers_(managers), hooks_(std::move(hooks)) {}

Promotion::~Promotion() {
  env_.loop.cancel_timer(timer_);
  env_.loop.cancel_timer(limit_timer_);
}

/// Only while the attempt it was made in goes on.
template <class F>
auto Promotion::mine(F callback) {
  return [this, alive = std::weak_ptr<char>(alive_), attempt = attempt_,
          callback = std::move(callback)](auto&&... arguments) {
    if (!alive.expired() && under_way_ && attempt == attempt_) {
      callback(std::forward<decltype(arguments)>(arguments)...);
    }
  };
}

void Promotion::begin() {
  if (std::exchange(under_way_, true)) {
    return;
  }
  SKEP_INFO("this node is to be a manager");
  ++attempt_;
  pause_ = kPauseFirst;
  env_.loop.post(mine([this] { step(); }));
}

void Promotion::step() {
  if (!hooks_.has_certificate()) {
    return hooks_.fetch_certificate(mine([this](const Status& status) {
      if (!status || !hooks_.has_certificate()) {
        return later(status ? Error{Code::kUnavailable, "the certificate is still one of a worker"}
                            : status.error());
      }
      // After the link closed what was opened with the old certificate.
      env_.loop.post(mine([this] { step(); }));
    }));
  }
  if (auto status = hooks_.listen(); !status) {
    return later(std::move(status).error().with_context("other nodes cannot reach this manager"));
  }
  ask();
}

void Promotion::ask() {
  rpc::call<manager::v1::methods::Join>(
      managers_, std::string(kManagerTarget), hooks_.request(), {.deadline = 30s},
      mine([this](Result<manager::v1::JoinResponse> answer) {
        if (!answer && answer.error().reason == "NOT_PROMOTED") {
          return give_up(std::move(answer).error());
        }
        Status kept = answer ? hooks_.taken_in(*answer) : Status(std::move(answer).error());
        if (!kept) {
          return later(kept.error());
        }
        under_way_ = false;
        trouble_.clear();
      }));
}

void Promotion::later(const Error& error) {
  SKEP_WARN("this node is no manager yet; trying again", {"cause", error.message});
  trouble_ = error.message;
  pause_ = std::min<Duration>(2 * pause_, kPauseMax);
  timer_ = env_.loop.run_after(pause_, [this] {
    timer_ = 0;
    step();
  });
}

void Promotion::give_up(Error error) {
  if (!std::exchange(under_way_, false)) {
    return;
  }
  env_.loop.cancel_timer(std::exchange(timer_, 0));
  hooks_.given_up();
  settle(std::move(error));
}

void Promotion::settle(Status status) {
  trouble_.clear();
  env_.loop.cancel_timer(std::exchange(limit_timer_, 0));
  if (const auto done = std::exchange(waiting_, nullptr)) {
    done(std::move(status));
  }
}

void Promotion::await(std::function<void(Status)> done) {
  waiting_ = std::move(done);
  limit_timer_ = env_.loop.run_after(kJoinPatience, [this] {
    limit_timer_ = 0;
    const auto tell = std::exchange(waiting_, nullptr);
    tell(Error{Code::kTimeout,
               "timeout was reached before node joined; the attempt to join the swarm will continue in "
               "the background, and 'agentctl info' shows the current swarm status of your node" +
                   (trouble_.empty() ? std::string() : " (" + trouble_ + ")"),
               "JOIN_TIMEOUT"});
  });
}

}  // namespace skep::agentd
