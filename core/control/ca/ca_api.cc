#include "core/control/ca/ca_api.h"

#include <memory>
#include <utility>

#include "core/control/ca/ca.h"
#include "core/control/ca/root_rotation.h"
#include "core/control/errors.h"
#include "core/link/join_token.h"
#include "skep/ca.methods.h"
#include "skep/log.h"
#include "skep/mutant.h"

namespace skep::control {
namespace {

namespace methods = ca::v1::methods;
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

constexpr Duration kLeaderWait = 10s;

Status may_renew(const ca::v1::RenewRequest& request, const bus::v1::Principal& who) {
  if (who.kind() == "core" || who.role() == link::role_name(link::Role::kManager)) {
    return ok();
  }
  if (who.role() == link::role_name(link::Role::kLockedManager)) {
    return Error{Code::kPermissionDenied, "a locked manager renews its certificates when it is unlocked",
                 "NOT_ALLOWED"};
  }
  return request.locked() ? Error{Code::kPermissionDenied,
                                  "only a manager gets a certificate for the time it is locked", "NOT_A_MANAGER"}
                          : ok();
}

class CaApi {
 public:
  CaApi(Env& env, bus::Peers& peers, Manager::Access manager)
      : env_(env), peers_(peers), manager_([manager = std::move(manager)]() -> Result<Manager*> {
          SKEP_TRY_ASSIGN(Manager * here, manager());
          return here == nullptr ? Result<Manager*>(no_manager()) : here;
        }) {}

  /// From any manager, whatever it knows: a root is no secret, and the joiner's token tells the right one.
  Result<ca::v1::GetRootResponse> get_root() {
    SKEP_TRY_ASSIGN(const Manager* manager, manager_());
    const auto cluster = manager->store().view().cluster();
    if (!cluster) {
      return Error{Code::kUnavailable, "this manager does not know the swarm yet", "NOT_READY"};
    }
    ca::v1::GetRootResponse response;
    response.set_certificate(cluster->root_ca().certificate());
    return response;
  }

  void issue(Manager& manager, const ca::v1::IssueRequest& request,
             const rpc::Reply<ca::v1::IssueResponse>& reply);
  void renew(const ca::v1::RenewRequest& request, const bus::v1::Principal& who,
             const rpc::Reply<ca::v1::RenewResponse>& reply);
  void join_token(Manager& manager, const ca::v1::JoinTokenRequest& request,
                  const rpc::Reply<ca::v1::JoinTokenResponse>& reply);

  /// Runs `here` when this manager leads, proven by a read barrier, asks the leader when another one does. A
  /// request that a manager passed on already is not passed on again.
  template <class M>
  void at_leader(const typename M::Request& request, const rpc::CallContext& context,
                 rpc::Reply<typename M::Response> reply, std::function<void(Manager&)> here) {
    const auto manager = manager_();
    if (!manager) {
      return reply(manager.error());
    }
    const auto leader = (*manager)->leader();
    if (leader && leader->here) {
      return when_sure(**manager, std::move(here), reply, no_leader());
    }
    if (leader && context.principal.kind() != "node") {
      rpc::call<M>(peers_.to(leader->node_id, leader->address), "core", request, {.deadline = 15s},
                   std::move(reply));
      return;
    }
    (*manager)->when_leading(kLeaderWait, [this, here = std::move(here), reply](Status status) {
      const auto now = manager_();
      status && now ? when_sure(**now, here, reply, no_leader())
                    : reply(status ? now.error() : std::move(status).error());
    });
  }

 private:
  /// A leader that was cut off does not know whom the others removed, which roles they changed or tokens they rotated.
  template <class Response>
  void when_sure(Manager& leading, std::function<void(Manager&)> here, rpc::Reply<Response> reply, Error otherwise) {
    leading.confirm_leading([this, here = std::move(here), reply = std::move(reply),
                             otherwise = std::move(otherwise)](Status sure) {
      const auto manager = manager_();
      if (!manager) {
        return reply(manager.error());
      }
      if (!sure) {
        return reply(sure.error().reason == "NOT_LEADER" ? otherwise : std::move(sure).error());
      }
      here(**manager);
    });
  }
  Result<ca::v1::IssueResponse> issued(const std::string& node_id, const std::string& request);
  void renew_here(const Manager& manager, const ca::v1::RenewRequest& request, const bus::v1::Principal& who,
                  const rpc::Reply<ca::v1::RenewResponse>& reply);

  Env& env_;
  bus::Peers& peers_;
  const Manager::Access manager_;
};

void CaApi::issue(Manager& manager, const ca::v1::IssueRequest& request,
                  const rpc::Reply<ca::v1::IssueResponse>& reply) {
  if (!request.expired_certificate().empty()) {
    const auto id = admit_returner(manager.store().view(), request);
    if (!id) {
      SKEP_WARN("a node with an expired certificate was refused", {"cause", id.error().message});
      return reply(id.error());
    }
    SKEP_INFO("a node whose certificate had expired is back", {"node", *id});
    return reply(issued(*id, request.request()));
  }
  const std::string& full = request.advertise_address();
  auto node = admit_joiner(manager.store().view(), request, full.substr(0, full.rfind(':')), env_.random);
  if (!node) {
    SKEP_WARN("a joiner was refused", {"hostname", request.description().hostname()},
              {"cause", node.error().message});
    return reply(std::move(node).error());
  }
  const std::string id = node->id();
  store::Transaction transaction;
  transaction.put(*std::move(node));
  manager.proposer().propose(std::move(transaction), [this, id, reply, csr = request.request()](
                                                          Result<std::uint64_t> done) {
    if (!done) {
      return reply(std::move(done).error());
    }
    SKEP_INFO("a node joined the swarm", {"node", id});
    reply(issued(id, csr));
  });
}

Result<ca::v1::IssueResponse> CaApi::issued(const std::string& node_id, const std::string& request) {
  SKEP_TRY_ASSIGN(const Manager* manager, manager_());
  const store::View& view = manager->store().view();
  ca::v1::IssueResponse response;
  SKEP_TRY_ASSIGN(*response.mutable_certificate(), certify(view, node_id, request, env_.clock.wall_now()));
  response.set_node_id(node_id);
  response.set_cluster_id(view.cluster()->id());
  response.set_manager(view.get<model::v1::Node>(node_id)->spec().role() == model::v1::NODE_ROLE_MANAGER);
  response.set_root(trusted_roots(view.cluster()->root_ca()));
  for (const auto& member : manager->consensus().members()) {
    response.add_managers(member.node_id() + "=" + member.address());
  }
  return response;
}

void CaApi::renew(const ca::v1::RenewRequest& request, const bus::v1::Principal& who,
                  const rpc::Reply<ca::v1::RenewResponse>& reply) {
  const auto manager = manager_();
  if (!manager) {
    return reply(manager.error());
  }
  if (auto allowed = may_renew(request, who); !allowed) {
    return reply(std::move(allowed).error());
  }
  if (SKEP_MUTANT(kRenewsWithoutBarrier) && (*manager)->leading()) {
    return renew_here(**manager, request, who, reply);
  }
  // Also where this one does not lead: it may not know yet that the node was demoted or removed.
  when_sure(**manager, [this, request, who, reply](Manager& leading) { renew_here(leading, request, who, reply); },
            reply, Error{Code::kUnavailable, "this manager does not lead; ask the leader", "NOT_LEADER"});
}

void CaApi::renew_here(const Manager& manager, const ca::v1::RenewRequest& request, const bus::v1::Principal& who,
                       const rpc::Reply<ca::v1::RenewResponse>& reply) {
  const std::string id = who.kind() == "core" ? manager.config().node_id : who.id();
  const store::View& view = manager.store().view();
  const auto make = request.locked() ? certify_locked : certify;
  auto certificate = make(view, id, request.request(), env_.clock.wall_now());
  if (!certificate) {
    return reply(std::move(certificate).error());
  }
  ca::v1::RenewResponse response;
  response.set_certificate(*std::move(certificate));
  response.set_root(trusted_roots(view.cluster()->root_ca()));
  reply(std::move(response));
}

void CaApi::join_token(Manager& manager, const ca::v1::JoinTokenRequest& request,
                       const rpc::Reply<ca::v1::JoinTokenResponse>& reply) {
  const auto cluster = manager.store().view().cluster();
  if (!cluster || cluster->root_ca().key().empty()) {
    return reply(Error{Code::kFailedPrecondition, "this swarm has no certificate authority yet", "NO_ROOT_CA"});
  }
  const auto answer = [reply, is_manager = request.manager()](const model::v1::RootCa& root) {
    auto token = control::join_token(root, is_manager);
    if (!token) {
      return reply(std::move(token).error());
    }
    ca::v1::JoinTokenResponse response;
    response.set_token(*std::move(token));
    reply(std::move(response));
  };
  if (!request.rotate()) {
    return answer(cluster->root_ca());
  }
  model::v1::Cluster changed = *cluster;
  auto& root = *changed.mutable_root_ca();
  const std::string secret = link::new_token_secret(env_.random);
  request.manager() ? root.set_manager_secret(secret) : root.set_worker_secret(secret);
  store::Transaction transaction;
  const model::v1::RootCa rotated = root;
  transaction.put(std::move(changed));
  manager.proposer().propose(std::move(transaction), [answer, rotated, reply](Result<std::uint64_t> done) {
    done ? answer(rotated) : reply(std::move(done).error());
  });
}

}  // namespace

void register_ca_methods(rpc::MethodTable& table, Env& env, bus::Peers& peers,
                         Manager::Access manager) {
  const auto api = std::make_shared<CaApi>(env, peers, std::move(manager));
  table.on<methods::GetRoot>([api](const auto&, const rpc::CallContext&, auto reply) { reply(api->get_root()); });
  table.on<methods::Issue>([api](const ca::v1::IssueRequest& request, const rpc::CallContext& context, auto reply) {
    api->at_leader<methods::Issue>(request, context, reply, [api, request, reply](Manager& leading) { api->issue(leading, request, reply); });
  });
  table.on<methods::Renew>([api](const ca::v1::RenewRequest& request, const rpc::CallContext& context, auto reply) {
    if (context.principal.kind() != "node" && context.principal.kind() != "core") {
      return reply(Error{Code::kPermissionDenied, "only a node itself may renew its certificate", "NOT_A_NODE"});
    }
    api->renew(request, context.principal, reply);
  });
  table.on<methods::JoinToken>([api](const ca::v1::JoinTokenRequest& request, const rpc::CallContext& context,
                                     auto reply) {
    if (context.principal.kind() == "plugin") {
      return reply(Error{Code::kPermissionDenied, "plugins are not told join tokens", "NOT_ALLOWED"});
    }
    api->at_leader<methods::JoinToken>(request, context, reply,
                                       [api, request, reply](Manager& leading) { api->join_token(leading, request, reply); });
  });
}

}  // namespace skep::control
