#include "core/control/ca/ca_api.h"

#include <memory>
#include <utility>

#include "core/control/ca/ca.h"
#include "core/control/ca/outside_signing.h"
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

class CaApi : public std::enable_shared_from_this<CaApi> {
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
  void renew_here(const Manager& manager, const ca::v1::RenewRequest& request, const bus::v1::Principal& who,
                  const rpc::Reply<ca::v1::RenewResponse>& reply);
  using Then = std::function<void(const std::string& certificate)>;
  /// The certificate that was ordered, once the swarm or an authority outside it has made it. An authority takes its
  /// time: then this manager must lead still, and the order be what it would be now.
  template <class Response>
  void make(const Result<Order>& order, bool joins, const rpc::Reply<Response>& reply, Then then);
  static Status still_wanted(const Manager& manager, const Order& order, bool joins);
  void admit(Manager& manager, model::v1::Node node, const Order& order, const std::string& certificate,
             const rpc::Reply<ca::v1::IssueResponse>& reply);
  Result<std::string> now_good(const Manager& manager, const Order& order, const std::string& certificate);
  Result<ca::v1::IssueResponse> issued(const std::string& node_id, const std::string& certificate);

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
    return make(order_certificate(manager.store().view(), *id, request.request()), false, reply,
                [this, id = *id, reply](const std::string& certificate) {
                  SKEP_INFO("a node whose certificate had expired is back", {"node", id});
                  reply(issued(id, certificate));
                });
  }
  const std::string& full = request.advertise_address();
  auto node = admit_joiner(manager.store().view(), request, full.substr(0, full.rfind(':')), env_.random);
  if (!node) {
    SKEP_WARN("a joiner was refused", {"hostname", request.description().hostname()},
              {"cause", node.error().message});
    return reply(std::move(node).error());
  }
  const bool manages = node->spec().role() == model::v1::NODE_ROLE_MANAGER;
  const auto order = order_for(manager.store().view(),
                               {node->id(), manages ? link::Role::kManager : link::Role::kWorker,
                                manager.store().view().cluster()->id()},
                               request.request());
  if (!order) {
    return reply(order.error());
  }
  if (order->outside.empty()) {
    return admit(manager, *std::move(node), *order, "", reply);
  }
  // The certificate first: a node that gets none is no node, which nobody would ever clear away.
  make(order, true, reply, [this, order, node = *std::move(node), secret = request.secret(), reply](const std::string& certificate) {
    const auto leader = manager_();
    const auto role = leader ? joins_as_manager((*leader)->store().view(), secret) : Result<bool>(leader.error());
    if (!role) {
      SKEP_WARN("a joiner was refused", {"hostname", node.description().hostname()}, {"cause", role.error().message});
      return reply(role.error());
    }
    admit(**leader, node, *order, certificate, reply);
  });
}

template <class Response>
void CaApi::make(const Result<Order>& order, bool joins, const rpc::Reply<Response>& reply, Then then) {
  if (!order || order->outside.empty()) {
    const auto made = order ? sign(*order, env_.clock.wall_now()) : Result<std::string>(order.error());
    return made ? then(*made) : reply(made.error());
  }
  make_certificate(env_, peers_.https(), *order, [order = *order, joins, reply, then = std::move(then),
                                                  weak = weak_from_this()](Result<std::string> made) {
    const auto self = weak.lock();
    const auto manager = self ? self->manager_() : Result<Manager*>(no_manager());
    if (!made || !manager) {
      return reply(made ? manager.error() : std::move(made).error());
    }
    self->when_sure(**manager,
                    [order, joins, reply, then, certificate = *std::move(made)](Manager& leading) {
                      auto wanted = still_wanted(leading, order, joins);
                      wanted ? then(certificate) : reply(std::move(wanted).error());
                    },
                    reply, Error{Code::kUnavailable, "this manager does not lead any more; ask the leader", "NOT_LEADER"});
  });
}

Status CaApi::still_wanted(const Manager& manager, const Order& order, bool joins) {
  const store::View& view = manager.store().view();
  const bool locked = order.identity.role == link::Role::kLockedManager;
  SKEP_TRY_ASSIGN(const Order now, joins    ? order_for(view, order.identity, order.request)
                                   : locked ? order_locked(view, order.identity.node_id, order.request)
                                            : order_certificate(view, order.identity.node_id, order.request));
  return now.identity == order.identity && now.root.certificate == order.root.certificate &&
                 now.cross_signed == order.cross_signed
             ? ok()
             : Status(Error{Code::kUnavailable, "the role of the node or the root changed meanwhile; try again", "CHANGED"});
}

void CaApi::admit(Manager& manager, model::v1::Node node, const Order& order, const std::string& certificate,
                  const rpc::Reply<ca::v1::IssueResponse>& reply) {
  store::Transaction transaction;
  transaction.put(std::move(node));
  manager.proposer().propose(std::move(transaction), [this, order, reply, certificate](Result<std::uint64_t> done) {
    const auto leader = done ? manager_() : Result<Manager*>(std::move(done).error());
    // Again with what is there now: the next root must not begin its rule between a signature and the node.
    const auto made = leader ? now_good(**leader, order, certificate) : Result<std::string>(leader.error());
    if (!made) {
      return reply(made.error());
    }
    SKEP_INFO("a node joined the swarm", {"node", order.identity.node_id});
    reply(issued(order.identity.node_id, *made));
  });
}

/// `certificate` when the order holds still; an empty one is signed here.
Result<std::string> CaApi::now_good(const Manager& manager, const Order& order, const std::string& certificate) {
  if (!certificate.empty()) {
    SKEP_TRY(still_wanted(manager, order, false));
    return certificate;
  }
  return certify(manager.store().view(), order.identity.node_id, order.request, env_.clock.wall_now());
}

Result<ca::v1::IssueResponse> CaApi::issued(const std::string& node_id, const std::string& certificate) {
  SKEP_TRY_ASSIGN(const Manager* manager, manager_());
  const store::View& view = manager->store().view();
  const auto node = view.get<model::v1::Node>(node_id);
  if (!node) {
    return Error{Code::kPermissionDenied, "node '" + node_id + "' was removed from the swarm", "NODE_REMOVED"};
  }
  ca::v1::IssueResponse response;
  response.set_certificate(certificate);
  response.set_node_id(node_id);
  response.set_cluster_id(view.cluster()->id());
  response.set_manager(node->spec().role() == model::v1::NODE_ROLE_MANAGER);
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
  const auto order = (request.locked() ? order_locked : order_certificate)(view, id, request.request());
  make(order, false, reply, [order, reply](const std::string& certificate) {
    ca::v1::RenewResponse response;
    response.set_certificate(certificate);
    response.set_root(order->trusted);
    reply(std::move(response));
  });
}

void CaApi::join_token(Manager& manager, const ca::v1::JoinTokenRequest& request,
                       const rpc::Reply<ca::v1::JoinTokenResponse>& reply) {
  const auto cluster = manager.store().view().cluster();
  if (!cluster || cluster->root_ca().certificate().empty()) {
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
