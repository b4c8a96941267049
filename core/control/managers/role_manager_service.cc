#include "core/control/managers/role_manager_service.h"

#include <algorithm>
#include <utility>

#include "core/control/managers/dial_back.h"
#include "skep/log.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;
namespace methods = consensus::v1::methods;

constexpr Duration kPeriod = 1s;        // among several members
constexpr Duration kStepPause = 200ms;  // after a step, before the next look
constexpr Duration kJoinPatience = 20s;
constexpr std::chrono::milliseconds kCallDeadline{10'000};
constexpr std::chrono::milliseconds kHandOverDeadline{1'000};

Error not_leading() {
  return Error{Code::kUnavailable, "this manager no longer leads; ask again", "NO_LEADER"};
}

}  // namespace

struct RoleManagerService::Join {
  manager::v1::JoinRequest request;
  rpc::Reply<manager::v1::JoinResponse> reply;
  TimePoint give_up_at;
  std::uint64_t member_id = 0;
};

RoleManagerService::RoleManagerService(const LoopContext& context, rpc::Caller& caller,
                                       Config config)
    : context_(context), caller_(caller), config_(std::move(config)) {}

RoleManagerService::~RoleManagerService() {
  stop();
}

void RoleManagerService::start() {
  look();
}

void RoleManagerService::stop() {
  alive_.reset();
  context_.env.loop.cancel_timer(std::exchange(timer_, 0));
}

void RoleManagerService::on_commit(const store::Commit& commit) {
  for (const auto& event : commit.events) {
    if (event.table == store::Table::kNode) {
      return look();
    }
  }
}

void RoleManagerService::members_changed() {
  look();
}

void RoleManagerService::arm(Duration delay) {
  if (alive_ == nullptr) {
    return;
  }
  context_.env.loop.cancel_timer(timer_);
  timer_ = context_.env.loop.run_after(delay, [this] {
    timer_ = 0;
    look();
  });
}

void RoleManagerService::ask(OnStatus done) {
  if (alive_ == nullptr) {
    return done(not_leading());
  }
  rpc::call<methods::Status>(caller_, config_.consensus_target, {}, {.deadline = kCallDeadline},
                             [this, done = std::move(done), alive = std::weak_ptr<char>(alive_)](
                                 Result<consensus::v1::StatusResponse> response) {
                               if (alive.expired()) {
                                 return done(not_leading());
                               }
                               if (response) {
                                 status_ = *response;
                               }
                               done(std::move(response));
                             });
}

void RoleManagerService::look() {
  if (alive_ == nullptr || std::exchange(looking_, true)) {
    look_again_ = true;
    return;
  }
  look_again_ = false;
  ask([this,
       alive = std::weak_ptr<char>(alive_)](const Result<consensus::v1::StatusResponse>& response) {
    if (alive.expired()) {
      return;
    }
    looking_ = false;
    const auto step = response ? next_role_step(*response, context_.view) : std::nullopt;
    if (step) {
      perform(*step);
    }
    if (step || look_again_) {
      arm(kStepPause);
    } else if (!response || response->members_size() > 1) {
      arm(kPeriod);  // a swarm of one manager stays quiet
    }
  });
}

void RoleManagerService::perform(const RoleStep& step) {
  if (const auto* hand_over = std::get_if<role::HandOver>(&step)) {
    SKEP_INFO("leadership is handed over: this manager is to become a worker",
              {"member", hand_over->to});
    consensus::v1::TransferLeadershipRequest request;
    request.set_to(hand_over->to);
    rpc::call<methods::TransferLeadership>(caller_, config_.consensus_target, request,
                                           {.deadline = kCallDeadline}, [](const auto&) {});
    return arm(kPeriod);
  }
  consensus::v1::ChangeMembersRequest request;
  if (const auto* promote = std::get_if<role::Promote>(&step)) {
    SKEP_INFO("a manager has caught up and votes now", {"node", promote->member.node_id()});
    *request.add_add() = promote->member;
    request.mutable_add(0)->set_learner(false);
  } else if (const auto* remove = std::get_if<role::Remove>(&step)) {
    SKEP_INFO("a node that is no manager any more leaves the log", {"member", remove->id});
    request.add_remove(remove->id);
  }
  change(request);
}

void RoleManagerService::hand_over(std::function<void(Status)> done) {
  ask([this, done = std::move(done),
       alive = std::weak_ptr<char>(alive_)](const Result<consensus::v1::StatusResponse>& status) {
    const std::uint64_t to = status && !alive.expired() ? successor(*status, context_.view) : 0;
    if (to == 0) {
      return done(status ? not_leading() : status.error());
    }
    consensus::v1::TransferLeadershipRequest request;
    request.set_to(to);
    rpc::call<methods::TransferLeadership>(
        caller_, config_.consensus_target, request, {.deadline = kHandOverDeadline},
        [done](const Result<consensus::v1::TransferLeadershipResponse>& reply) {
          done(reply ? ok() : Status(reply.error()));
        });
  });
}

void RoleManagerService::change(const consensus::v1::ChangeMembersRequest& request) {
  rpc::call<methods::ChangeMembers>(
      caller_, config_.consensus_target, request, {.deadline = kCallDeadline},
      [](const Result<consensus::v1::ChangeMembersResponse>& response) {
        if (!response) {  // looked at again
          SKEP_DEBUG("members not changed yet", {"reason", response.error().message});
        }
      });
}

void RoleManagerService::check_demotion(const std::string& node_id,
                                        std::function<void(Status)> done) {
  ask([node_id, done = std::move(done)](const Result<consensus::v1::StatusResponse>& status) {
    if (!status) {
      return done(status.error());
    }
    const auto* member = member_of(*status, node_id);
    done(member == nullptr ? ok() : can_remove(*status, member->id()));
  });
}

void RoleManagerService::join(const manager::v1::JoinRequest& request,
                              rpc::Reply<manager::v1::JoinResponse> reply) {
  const auto node = context_.view.get<model::v1::Node>(request.node_id());
  if (node == nullptr) {
    return reply(Error{Code::kNotFound,
                       "node '" + request.node_id() + "' is not part of this swarm",
                       "NODE_UNKNOWN"});
  }
  if (node->spec().role() != model::v1::NODE_ROLE_MANAGER) {
    return reply(Error{Code::kFailedPrecondition,
                       "node '" + request.node_id() + "' is to be a worker; promote it first",
                       "NOT_PROMOTED"});
  }
  if (request.address().empty()) {
    return reply(Error{Code::kInvalidArgument, "a manager needs an address others reach it at",
                       "ADDRESS_MISSING"});
  }
  auto joining = std::make_shared<Join>();
  joining->request = request;
  joining->reply = std::move(reply);
  if (config_.peers == nullptr) {
    return begin_join(joining);
  }
  dial_back(*config_.peers, request.node_id(), request.address(),
            [this, joining, alive = std::weak_ptr<char>(alive_)](Status reached) {
              if (alive.expired() || !reached) {
                return joining->reply(reached ? not_leading() : std::move(reached).error());
              }
              begin_join(joining);
            });
}

void RoleManagerService::begin_join(const std::shared_ptr<Join>& join) {
  join->give_up_at = context_.env.clock.now() + kJoinPatience;
  try_join(join);
}

void RoleManagerService::try_join(const std::shared_ptr<Join>& join) {
  ask([this, join,
       alive = std::weak_ptr<char>(alive_)](Result<consensus::v1::StatusResponse> status) {
    if (alive.expired() || !status) {
      return join->reply(status ? not_leading() : std::move(status).error());
    }
    add_member(join, *status);
  });
}

void RoleManagerService::add_member(const std::shared_ptr<Join>& join,
                                    const consensus::v1::StatusResponse& status) {
  consensus::v1::ChangeMembersRequest request;
  for (const auto& member : status.members()) {
    if (member.node_id() != join->request.node_id()) {
      continue;
    }
    if (member.id() == status.member_id()) {
      return join->reply(
          Error{Code::kAlreadyExists, "this node is the leading manager", "ALREADY_MEMBER"});
    }
    // It has no log any more, or never knew its id: an id is used once.
    if (auto safe = can_remove(status, member.id()); !safe) {
      return join->reply(std::move(safe).error());
    }
    request.add_remove(member.id());
  }
  join->member_id = context_.env.random.next() | 1;  // never 0
  auto& member = *request.add_add();
  member.set_id(join->member_id);
  member.set_node_id(join->request.node_id());
  member.set_address(join->request.address());
  member.set_learner(true);
  rpc::call<methods::ChangeMembers>(
      caller_, config_.consensus_target, request, {.deadline = kCallDeadline},
      [this, join,
       alive = std::weak_ptr<char>(alive_)](Result<consensus::v1::ChangeMembersResponse> response) {
        if (alive.expired()) {
          return join->reply(not_leading());
        }
        if (response) {
          return await_member(join);
        }
        if (response.error().reason != "CHANGE_UNDER_WAY" ||
            context_.env.clock.now() >= join->give_up_at) {
          return join->reply(std::move(response).error());
        }
        context_.env.loop.run_after(kStepPause, [this, join, alive] {
          alive.expired() ? join->reply(not_leading()) : try_join(join);
        });
      });
}

void RoleManagerService::await_member(const std::shared_ptr<Join>& join) {
  ask([this, join,
       alive = std::weak_ptr<char>(alive_)](Result<consensus::v1::StatusResponse> status) {
    if (alive.expired() || !status) {
      return join->reply(status ? not_leading() : std::move(status).error());
    }
    const auto& members = status->members();
    if (std::any_of(members.begin(), members.end(),
                    [&](const auto& one) { return one.id() == join->member_id; })) {
      SKEP_INFO("a manager joined", {"node", join->request.node_id()},
                {"address", join->request.address()});
      manager::v1::JoinResponse response;
      response.set_member_id(join->member_id);
      response.set_cluster_id(config_.cluster_id);
      response.set_incarnation(config_.incarnation);
      *response.mutable_members() = members;
      look();
      return join->reply(std::move(response));
    }
    if (context_.env.clock.now() >= join->give_up_at) {
      return join->reply(Error{Code::kUnavailable,
                               "no majority of the managers took the new one in time; try again",
                               "QUORUM_AT_RISK"});
    }
    context_.env.loop.run_after(kStepPause, [this, join, alive] {
      alive.expired() ? join->reply(not_leading()) : await_member(join);
    });
  });
}

}  // namespace skep::control
