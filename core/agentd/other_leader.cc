#include "core/agentd/other_leader.h"

#include <memory>
#include <utility>

#include "skep/control.methods.h"
#include "skep/manager.methods.h"

namespace skep::agentd {
namespace {

class Search : public std::enable_shared_from_this<Search> {
 public:
  Search(std::size_t asked, std::function<void(std::optional<OtherLeader>)> done)
      : waiting_(2 * asked), done_(std::move(done)) {}

  void ask(rpc::Caller& caller, const ManagerAddress& manager, std::uint64_t incarnation) {
    // Passed on to the leader, so that one is found of which nobody here knows.
    manager::v1::CheckMemberRequest member;
    member.set_incarnation(incarnation);
    rpc::call<manager::v1::methods::CheckMember>(
        caller, "core", member, {.deadline = kOtherLeaderWait},
        [self = shared_from_this(), manager](const Result<manager::v1::CheckMemberResponse>& answer) {
          if (answer && !self->found_) {
            self->found_ = OtherLeader{manager, false};
          }
          self->answered();
        });
    // Only the leader answers a node this, and itself.
    rpc::call<control::v1::methods::GetCluster>(
        caller, "core", {}, {.deadline = kOtherLeaderWait},
        [self = shared_from_this(), manager](const Result<control::v1::GetClusterResponse>& answer) {
          if (answer) {
            self->leader_ = manager;
          }
          self->answered();
        });
  }

 private:
  void answered() {
    if (--waiting_ > 0) {
      return;
    }
    // Without the first: the one that leads is of an older incarnation.
    done_(found_ && leader_ ? OtherLeader{*leader_, true} : found_);
  }

  std::size_t waiting_;
  const std::function<void(std::optional<OtherLeader>)> done_;
  std::optional<OtherLeader> found_;
  std::optional<ManagerAddress> leader_;
};

}  // namespace

void find_other_leader(bus::Peers& peers, const std::vector<ManagerAddress>& others, std::uint64_t incarnation,
                       std::function<void(std::optional<OtherLeader>)> done) {
  if (others.empty()) {
    return done(std::nullopt);
  }
  const auto search = std::make_shared<Search>(others.size(), std::move(done));
  for (const ManagerAddress& other : others) {
    search->ask(peers.to(other.node_id, other.address), other, incarnation);
  }
}

}  // namespace skep::agentd
