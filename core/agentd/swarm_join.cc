// Joining a swarm: a certificate from one of its managers, then the node side starts.
#include "core/agentd/address.h"
#include "core/agentd/identity.h"
#include "core/agentd/leftovers.h"
#include "core/agentd/swarm_security.h"
#include "core/agentd/version.h"
#include "skep/log.h"

namespace skep::agentd {

struct Swarm::Attempt {
  agent::v1::JoinRequest request;
  link::JoinToken token;
  std::vector<InterfaceAddress> addresses;
  NodeAddresses chosen;
  int next = 0;  // of the managers
  std::function<void(Status)> done;
};

void Swarm::join(const agent::v1::JoinRequest& request, std::function<void(Status)> done) {
  if (membership_ && !changing_ && security_->certificate_useless()) {
    return security_->come_back(request, std::move(done));
  }
  if (membership_ || changing_) {
    return done(Error{Code::kFailedPrecondition,
                      "this node is already part of a swarm: use `agentctl swarm leave` to leave it and join another one",
                      "ALREADY_IN_SWARM"});
  }
  auto attempt = std::make_shared<Attempt>();
  auto token = link::parse_join_token(request.token());
  auto addresses = machine_addresses();
  if (!token || !addresses || request.managers().empty()) {
    return done(!token       ? std::move(token).error()
                : !addresses ? std::move(addresses).error()
                             : Error{Code::kInvalidArgument, "no manager to join was named", "NO_MANAGER_NAMED"});
  }
  attempt->request = request;
  attempt->token = *std::move(token);
  attempt->addresses = *std::move(addresses);
  attempt->done = std::move(done);
  changing_ = true;
  trouble_.clear();
  link_trouble_.clear();
  leftovers_->pause([this, attempt] { try_join(attempt); });
}

void Swarm::try_join(const std::shared_ptr<Attempt>& attempt) {
  const auto fail = [this, attempt](Error error) {
    joining_.reset();
    changing_ = false;
    drivers_changed();
    attempt->done(std::move(error));
  };
  const std::string& manager = attempt->request.managers(attempt->next++);
  const auto where = link::parse_host_port(manager, link::kManagementPort);
  if (!where) {
    return fail(where.error());
  }
  // The way to the manager tells which address of ours it sees.
  auto chosen = choose_node_addresses({attempt->request.advertise_address(), attempt->request.listen_address(),
                                       address_towards(where->host)},
                                      attempt->addresses);
  if (!chosen) {
    return fail(std::move(chosen).error());
  }
  attempt->chosen = *std::move(chosen);
  ca::v1::IssueRequest request;
  request.set_availability(attempt->request.availability());
  request.set_advertise_address(attempt->chosen.advertise);
  *request.mutable_description() = describe();
  link::Joining::Options options;
  options.address = link::to_text(*where);
  options.version = kVersion;
  joining_ = std::make_unique<link::Joining>(
      env_, std::move(options), attempt->token, std::move(request),
      [this, attempt, fail](Result<link::Joined> result) {
        if (result) {
          return joined(attempt, *std::move(result));
        }
        // Another manager may be there when this one is not.
        if (result.error().retryable() && attempt->next < attempt->request.managers_size()) {
          return try_join(attempt);
        }
        fail(std::move(result).error());
      });
}

void Swarm::joined(const std::shared_ptr<Attempt>& attempt, link::Joined joined) {
  joining_.reset();
  changing_ = false;
  agent::v1::SwarmMembership membership;
  membership.set_node_id(joined.answer.node_id());
  membership.set_cluster_id(joined.answer.cluster_id());
  membership.set_advertise_address(attempt->chosen.advertise);
  membership.set_listen_address(attempt->chosen.listen);
  *membership.mutable_managers() = joined.answer.managers();
  membership_ = membership;
  book_.learn({joined.answer.managers().begin(), joined.answer.managers().end()}, "");
  Status status = save_and_use(joined.credentials);
  if (status) {
    status = save_membership(paths_, env_.disk, membership);
  }
  if (status) {
    status = start_node();
  }
  if (!status) {
    if (auto forgotten = forget(); !forgotten) {
      SKEP_ERROR("a failed join left files behind", {"cause", forgotten.error().message});
    }
    return attempt->done(std::move(status));
  }
  SKEP_INFO("this node joined a swarm", {"node", membership.node_id()}, {"cluster", membership.cluster_id()});
  if (!joined.answer.manager()) {
    return attempt->done(ok());
  }
  promotion_.await(attempt->done);
  role_told(model::v1::NODE_ROLE_MANAGER);
}

}  // namespace skep::agentd
