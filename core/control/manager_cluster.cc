// What a manager does with the others: who leads, who is a member. See manager.h.

#include <algorithm>
#include <utility>

#include "core/control/manager_impl.h"
#include "skep/log.h"
#include "skep/manager.methods.h"

namespace skep::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLeaderWait = 10s;
constexpr Duration kHandOverLimit = 1s;
constexpr std::chrono::milliseconds kPassedOnDeadline{30'000};

/// Managers ask for themselves, or pass on for others what they were asked.
Status check_manager(const rpc::CallContext& context, const std::string& node_id, bool passed_on) {
  const auto& principal = context.principal;
  if (principal.kind() != "node" || principal.role() != "manager") {
    return Error{Code::kPermissionDenied, "only nodes with a manager's certificate may ask that",
                 "NOT_A_MANAGER"};
  }
  if (!node_id.empty() && principal.id() != node_id && !passed_on) {
    return Error{Code::kPermissionDenied, "only node '" + node_id + "' itself may ask to join",
                 "NOT_THIS_NODE"};
  }
  return ok();
}

/// Asks the leader what this manager was asked, for the node that asked.
template <class M>
void pass_on(bus::Peers* peers, const LeaderRoute& leader, typename M::Request request,
             rpc::Reply<typename M::Response> reply) {
  if (peers == nullptr || request.passed_on()) {
    return reply(not_leader_error());
  }
  request.set_passed_on(true);
  rpc::call<M>(peers->to(leader.node_id, leader.address), "core", request,
               {.deadline = kPassedOnDeadline}, std::move(reply));
}

}  // namespace

std::optional<LeaderRoute> Manager::Impl::leader() const {
  if (dispatcher != nullptr) {
    return LeaderRoute{.here = true};
  }
  const std::uint64_t id = client->leader_id();
  const auto* member = mail->find(id);
  if (id == 0 || id == config.member_id || member == nullptr) {
    return std::nullopt;
  }
  return LeaderRoute{false, member->node_id(), member->address()};
}

void Manager::Impl::confirm_leading(std::function<void(Status)> then) {
  if (dispatcher == nullptr) {
    return then(not_leader_error());
  }
  // Nobody overtakes the only one.
  client->members().size() <= 1 ? then(ok()) : proof.ask(std::move(then));
}

void Manager::Impl::members_changed(const std::vector<consensus::v1::Member>& members) {
  mail->set_members(members);
  if (dispatcher != nullptr) {
    dispatcher->set_managers(manager_addresses());
    role_manager->members_changed();
  }
  const bool member = std::any_of(members.begin(), members.end(),
                                  [this](const auto& one) { return one.id() == config.member_id; });
  // A new member applies what was before its time: only who was in can be out. A log that is only
  // read has no members, and late news of the one that was open before say nothing of it.
  if (std::exchange(was_member, member || was_member) && !member && !config.recover) {
    return removed(config.incarnation);
  }
  wake_waiters();
}

std::vector<std::string> Manager::Impl::manager_addresses() const {
  std::vector<std::string> addresses;
  for (const auto& member : client->members()) {
    const bool self = member.id() == config.member_id;
    const std::string& address = self ? config.address : member.address();
    if (!member.learner() && !address.empty()) {
      addresses.push_back(member.node_id() + "=" + address);
    }
  }
  return addresses;
}

Result<DispatcherService*> Manager::Impl::serving_dispatcher() const {
  if (dispatcher != nullptr) {
    return dispatcher;
  }
  return leader() ? not_leader_error() : health->no_leader();
}

dispatch::v1::SessionMessage Manager::Impl::redirect() const {
  dispatch::v1::SessionMessage message;
  message.set_incarnation(config.incarnation);
  for (auto& address : manager_addresses()) {
    message.add_managers(std::move(address));
  }
  if (const auto route = leader(); route && !route->here) {
    message.set_leader(route->node_id + "=" + route->address);
  }
  return message;
}

void Manager::Impl::leader_changed(std::uint64_t leader_id) {
  removal->leader_changed(leader_id);
  health->leader_changed(leader_id);
  if (const auto route = leader()) {
    forwarder->leader_is(*route);
  }
  wake_waiters();
}

void Manager::Impl::hand_over(std::function<void()> done) {
  if (role_manager == nullptr || client->members().size() <= 1) {
    return done();
  }
  role_manager->hand_over([this, done = std::move(done), token = std::weak_ptr<char>(alive)](
                              const Status& asked) {
    if (!asked || token.expired()) {
      return done();
    }
    wait_until(
        kHandOverLimit, [this] { return dispatcher == nullptr; },
        [done](const Status&) { done(); });
  });
}

void Manager::Impl::removed(std::uint64_t incarnation) {
  env.loop.post([this, incarnation, token = std::weak_ptr<char>(alive)] {
    if (token.expired() || ended) {
      return;
    }
    if (incarnation > config.incarnation && handlers.on_newer_incarnation) {
      handlers.on_newer_incarnation(incarnation);
    }
    SKEP_WARN("this node is no manager any more", {"member", config.member_id});
    auto started = std::exchange(on_started, nullptr);
    const auto on_removed = handlers.on_removed;
    // Told when nothing writes any more: what is on disk may go then.
    stop([started, on_removed](const Status&) {
      if (started) {
        started(Error{Code::kFailedPrecondition, "this node was removed from the managers",
                      "MEMBER_REMOVED"});
      } else if (on_removed) {
        on_removed();
      }
    });
  });
}

void Manager::Impl::read_out() {
  if (const auto on_read_out = handlers.on_read_out) {
    on_read_out();
  }
}

void Manager::Impl::backup(bool stale, store::v1::BackupHeader header, BackupSource::Stream stream) {
  if (ended || !client->is_open()) {
    return stream.finish(fatal ? *fatal : manager_stopped());
  }
  const auto cluster = store.view().cluster();
  header.set_cluster_id(config.cluster_id);
  header.set_incarnation(config.incarnation);
  header.set_node_id(config.node_id);
  header.set_feature_level(cluster == nullptr ? 0 : cluster->feature_level());
  header.set_made_at(env.clock.wall_now());
  const auto serve = [this, header, stream] {
    const auto swarm = store.view().cluster();
    backups->serve(store.applied_index(), header, swarm == nullptr ? "" : swarm->unlock_key(),
                   stream);
  };
  if (stale) {
    return serve();
  }
  client->read_barrier([this, serve, stream](Status status) mutable {
    if (status) {
      return serve();
    }
    Error error = health->no_leader();
    error.message += "; '--stale' takes what this manager knows, which may lack the newest changes";
    stream.finish(std::move(error));
  });
}

void Manager::Impl::check_demotion(const std::string& node_id, std::function<void(Status)> done) {
  role_manager != nullptr ? role_manager->check_demotion(node_id, std::move(done))
                          : done(health->no_leader());
}

bool Manager::Impl::is_member(const std::string& node_id) const {
  const auto& members = client->members();
  return std::any_of(members.begin(), members.end(),
                     [&](const auto& member) { return member.node_id() == node_id; });
}

void Manager::Impl::add_manager_status(model::v1::Node& node) const {
  node.clear_manager_status();
  for (const auto& member : client->members()) {
    if (member.node_id() != node.id()) {
      continue;
    }
    const bool self = member.id() == config.member_id;
    const bool active =
        self || (role_manager != nullptr && is_active(role_manager->status(), member.id()));
    auto& status = *node.mutable_manager_status();
    status.set_member_id(member.id());
    status.set_address(self && !config.address.empty() ? config.address : member.address());
    status.set_leader(member.id() == client->leader_id());
    // One that has no vote yet is none to count on when another is taken away.
    status.set_reachability(member.learner() ? 0 : active ? 2 : 1);
  }
}

void Manager::Impl::join(const manager::v1::JoinRequest& request, const rpc::CallContext& context,
                         rpc::Reply<manager::v1::JoinResponse> reply) {
  if (auto allowed = check_manager(context, request.node_id(), request.passed_on()); !allowed) {
    return reply(std::move(allowed).error());
  }
  find_leader(kLeaderWait, [this, request, reply](const Result<LeaderRoute>& leader) {
    if (!leader) {
      return reply(leader.error());
    }
    if (!leader->here) {
      return pass_on<manager::v1::methods::Join>(peers, *leader, request, reply);
    }
    role_manager->join(request, [this, reply, token = std::weak_ptr<char>(alive)](
                                    Result<manager::v1::JoinResponse> response) {
      if (response && !token.expired()) {
        add_keys(*response);
      }
      reply(std::move(response));
    });
  });
}

void Manager::Impl::add_keys(manager::v1::JoinResponse& response) const {
  if (config.sealer != nullptr) {
    response.set_data_key(config.sealer->key());
  }
  if (const auto cluster = store.view().cluster()) {
    response.set_unlock_key(cluster->unlock_key());
    response.set_unlock_version(cluster->meta().version());
  }
}

void Manager::Impl::check_member(const manager::v1::CheckMemberRequest& request,
                                 const rpc::CallContext& context,
                                 rpc::Reply<manager::v1::CheckMemberResponse> reply) {
  // Any node may ask: one that was demoted, or left behind by a recovery, only believes to be a manager.
  if (context.principal.kind() != "node") {
    return reply(Error{Code::kPermissionDenied, "only nodes may ask that", "NOT_THIS_NODE"});
  }
  if (request.incarnation() > config.incarnation) {
    return reply(Error{Code::kUnavailable,
                       "this manager belongs to an older incarnation of the swarm", "OLD_INCARNATION"});
  }
  const auto route = leader();
  if (!route) {
    return reply(health->no_leader());
  }
  if (!route->here) {
    return pass_on<manager::v1::methods::CheckMember>(peers, *route, request, std::move(reply));
  }
  // With a barrier: a leader that was cut off may not know newer members.
  const bool here = request.incarnation() == config.incarnation;
  client->read_barrier([this, here, id = request.member_id(), reply](Status status) {
    if (!status || role_manager == nullptr) {
      return reply(health->no_leader());
    }
    role_manager->ask([here, id, incarnation = config.incarnation, reply](const Result<consensus::v1::StatusResponse>& now) {
      if (!now) {
        return reply(now.error());
      }
      manager::v1::CheckMemberResponse response;
      response.set_incarnation(incarnation);
      response.set_member(here && std::any_of(now->members().begin(), now->members().end(),
                                      [id](const auto& member) { return member.id() == id; }));
      reply(std::move(response));
    });
  });
}

}  // namespace skep::control
