#include "core/control/managers/removal_watch.h"

#include <algorithm>
#include <utility>

#include "skep/log.h"
#include "skep/manager.methods.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLeaderlessFor = 5s;
constexpr std::chrono::milliseconds kAskDeadline{5'000};
/// Who refuses this node does so at every attempt, every few seconds.
constexpr Duration kRefusalCounts = 30s;

}  // namespace

RemovalWatch::RemovalWatch(Loop& loop, bus::Peers* peers, const RaftMail& mail, std::uint64_t self,
                           std::uint64_t incarnation,
                           std::function<void(std::uint64_t)> on_removed)
    : loop_(loop),
      peers_(peers),
      mail_(mail),
      self_(self),
      incarnation_(incarnation),
      on_removed_(std::move(on_removed)) {}

RemovalWatch::~RemovalWatch() {
  stop();
}

void RemovalWatch::stop() {
  alive_.reset();
  loop_.cancel_timer(std::exchange(timer_, 0));
}

void RemovalWatch::leader_changed(std::uint64_t leader) {
  if (leader != 0) {
    loop_.cancel_timer(std::exchange(timer_, 0));
  } else if (timer_ == 0) {
    arm();
  }
}

void RemovalWatch::suspect() {
  ask();
}

void RemovalWatch::refused_by(const std::string& node_id, std::uint64_t incarnation) {
  const auto voters = mail_.voters();
  if (alive_ == nullptr || incarnation < incarnation_ || !voters.contains(node_id)) {
    return;
  }
  const TimePoint now = loop_.now();
  refusals_[node_id] = {now, incarnation};
  std::size_t refusing = 0;
  std::uint64_t newest = incarnation_;
  for (const auto& [id, refusal] : refusals_) {
    if (voters.contains(id) && now - refusal.at < kRefusalCounts) {
      ++refusing;
      newest = std::max(newest, refusal.incarnation);
    }
  }
  if (refusing < voters.size() / 2 + 1) {
    SKEP_DEBUG("a manager says that this node was removed from the swarm", {"by", node_id}, {"refusing", refusing},
               {"voters", voters.size()});
    return;
  }
  SKEP_WARN("this node was removed from the swarm while it was away: a majority of the managers it knows refuse it",
            {"refusing", refusing}, {"voters", voters.size()});
  stop();
  on_removed_(newest);
}

void RemovalWatch::arm() {
  if (peers_ == nullptr || alive_ == nullptr) {
    return;
  }
  timer_ = loop_.run_after(kLeaderlessFor, [this] {
    timer_ = 0;
    ask();
    arm();
  });
}

void RemovalWatch::ask() {
  const auto& book = mail_.book();
  if (peers_ == nullptr || alive_ == nullptr || book.empty() || asking_) {
    return;
  }
  // One after another, over the whole book.
  auto next = book.upper_bound(last_asked_);
  for (std::size_t tries = 0; tries <= book.size(); ++tries) {
    next = next == book.end() ? book.begin() : next;
    if (next->first != self_) {
      break;
    }
    ++next;
  }
  if (next == book.end() || next->first == self_) {
    return;
  }
  last_asked_ = next->first;
  asking_ = true;
  manager::v1::CheckMemberRequest request;
  request.set_member_id(self_);
  request.set_incarnation(incarnation_);
  rpc::call<manager::v1::methods::CheckMember>(
      peers_->to(next->second.node_id(), next->second.address()), "core", request,
      {.deadline = kAskDeadline},
      [this, alive = std::weak_ptr<char>(alive_)](
          const Result<manager::v1::CheckMemberResponse>& response) {
        if (alive.expired()) {
          return;
        }
        asking_ = false;
        if (response && !response->member()) {
          SKEP_WARN("this manager was removed from the swarm's managers", {"member", self_});
          stop();
          on_removed_(response->incarnation());
        }
      });
}

}  // namespace skep::control
