#include "ca_operator.h"

#include <utility>

#include "core/link/join_token.h"
#include "skep/ca.methods.h"
#include "skep/control.methods.h"
#include "tests/rig/local_peers.h"

namespace skep::sim {

namespace {
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only
constexpr Duration kPauseMin = 500ms;
constexpr Duration kPauseMore = 9s;
constexpr const char* kJoiner = "x1/joiner";
}  // namespace

CaOperator::CaOperator(World world, std::uint64_t seed) : world_(std::move(world)), random_(seed) {
  joiner_ = &world_.bus.attach(kJoiner, "x1", {}, none_, rig::who("joiner", ""), &world_.loop);
}

CaOperator::~CaOperator() {
  stop();
  world_.bus.detach(kJoiner);
}

void CaOperator::know(const model::v1::RootCa& root) {
  seen_[0].insert(root.worker_secret());
  seen_[1].insert(root.manager_secret());
}

void CaOperator::start() { later(); }

void CaOperator::stop() { world_.loop.cancel_timer(std::exchange(timer_, 0)); }

void CaOperator::later() {
  const auto wait = kPauseMin + Duration(random_.below(static_cast<std::uint64_t>(kPauseMore.count())));
  timer_ = world_.loop.run_after(wait, [this] {
    timer_ = 0;
    act();
    later();
  });
}

void CaOperator::act() {
  const std::uint64_t kind = random_.below(10);
  if (kind < 5) {
    rotate_root();
  } else if (kind < 7) {
    rotate_token(random_.chance(50));
  } else {
    try_dead_token();
  }
}

void CaOperator::rotate_root() {
  rpc::Caller* user = world_.user();
  if (user == nullptr) {
    return;
  }
  control::v1::RotateRootRequest request;
  const std::uint64_t kind = random_.below(10);
  const bool earlier = kind >= 8 && !given_.empty();
  if (kind >= 5) {
    if (!earlier) {
      given_.push_back(*link::make_root(world_.loop.wall_now()));
    }
    const auto& given = earlier ? given_[random_.below(given_.size())] : given_.back();
    request.set_certificate(given.certificate);
    request.set_key(given.key);
  }
  world_.fire(earlier ? "root rotated to an earlier one" : kind < 5 ? "root rotated" : "root rotated to a given one");
  rpc::call<control::v1::methods::RotateRoot>(
      *user, "core", request, {.deadline = 30s},
      [this](const Result<control::v1::RotateRootResponse>& answer) { rotations_ += answer ? 1 : 0; });
}

void CaOperator::rotate_token(bool manager) {
  rpc::Caller* user = world_.user();
  if (user == nullptr) {
    return;
  }
  world_.fire("join token rotated");
  ca::v1::JoinTokenRequest request;
  request.set_manager(manager);
  request.set_rotate(true);
  rpc::call<ca::v1::methods::JoinToken>(
      *user, "core", request, {.deadline = 30s},
      [this, manager, before = seen_[manager ? 1 : 0]](const Result<ca::v1::JoinTokenResponse>& answer) {
        if (!answer) {
          return;
        }
        dead_.insert(dead_.end(), before.begin(), before.end());
        for (const std::string& secret : before) {
          seen_[manager ? 1 : 0].erase(secret);
        }
        seen_[manager ? 1 : 0].insert(link::parse_join_token(answer->token())->secret);
      });
}

void CaOperator::try_dead_token() {
  const auto managers = world_.managers();
  if (dead_.empty() || managers.empty()) {
    return;
  }
  ca::v1::IssueRequest request;
  request.set_secret(dead_[random_.below(dead_.size())]);
  request.set_request(link::make_request()->request);
  rpc::call<ca::v1::methods::Issue>(
      *joiner_, managers[random_.below(managers.size())] + "/core", request, {.deadline = 15s},
      [this](const Result<ca::v1::IssueResponse>& answer) {
        if (answer) {
          world_.violate("a join token that was rotated made node " + answer->node_id());
        }
        refused_ += !answer && answer.error().reason == "INVALID_TOKEN" ? 1 : 0;
      });
}

}  // namespace skep::sim
