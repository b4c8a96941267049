#include "certified_swarm.h"

#include <utility>

#include "core/control/ca/ca.h"
#include "core/link/root.h"
#include "skep/ca.methods.h"

namespace skep::sim {

namespace {
constexpr std::chrono::seconds kJoinWithin{30};
}  // namespace

CertifiedSwarm::CertifiedSwarm(std::uint64_t seed, CaOperator::World world, Connects connects)
    : openssl_(seed), random_(seed), world_(world), connects_(std::move(connects)),
      invariants_(world_.violate), operator_(std::move(world), random_.next()) {}

model::v1::RootCa CertifiedSwarm::make_root() {
  auto root = *control::new_root_ca(random_, world_.loop.wall_now());
  operator_.know(root);
  return root;
}

NodeCertificate::Hooks CertifiedSwarm::watched(const std::string& id) {
  return {.asks = [this, id] { invariants_.on_asked(id); },
          .changed = [this, id](const link::Credentials& credentials) { invariants_.on_changed(id, credentials); }};
}

NodeCertificate& CertifiedSwarm::of(const std::string& id) {
  auto& slot = workers_[id];
  if (slot == nullptr) {
    slot = std::make_unique<NodeCertificate>(id, watched(id));
  }
  return *slot;
}

void CertifiedSwarm::start(rig::ManagerProcess& machine, bool manager) {
  auto& side = sides_[machine.id];
  if (side == nullptr) {
    side = std::make_unique<ManagerSide>(machine, world_.bus, connects_, watched(machine.id));
  }
  std::vector<std::string> others;
  for (const auto& [id, other] : sides_) {
    if (id != machine.id) {
      others.push_back(id + "=" + id + ":2377");
    }
  }
  side->start(manager, others);
}

void CertifiedSwarm::ended(const std::string& id) {
  if (const auto side = sides_.find(id); side != sides_.end()) {
    side->second->end();
  }
}

bool CertifiedSwarm::join(const std::vector<std::string>& ids, rig::ManagerProcess& manager) {
  std::size_t joined = 0;
  rpc::MethodTable none;
  auto& joiner = world_.bus.attach("x2/joiner", "x2", {}, none, rig::who("joiner", ""), &world_.loop);
  const auto& root = manager.view().cluster()->root_ca();
  for (const std::string& id : ids) {
    const bool manages = manager.view().get<model::v1::Node>(id)->spec().role() == model::v1::NODE_ROLE_MANAGER;
    NodeCertificate& certificate = of(id);
    ca::v1::IssueRequest request;
    request.set_node_id(id);
    request.set_secret(manages ? root.manager_secret() : root.worker_secret());
    request.set_request(certificate.request());
    request.mutable_description()->set_hostname(id);
    rpc::call<ca::v1::methods::Issue>(
        joiner, manager.id + "/core", request, {.deadline = kJoinWithin},
        [this, id, &certificate, &joined](const Result<ca::v1::IssueResponse>& answer) {
          if (!answer || answer->node_id() != id) {
            return world_.violate("node " + id + " did not join: " + (answer ? "as another" : answer.error().message));
          }
          certificate.take({{answer->certificate(), ""}, answer->root(), answer->cluster_id(), id});
          ++joined;
        });
  }
  const bool all = world_.loop.run_until([&] { return joined == ids.size(); }, Duration(kJoinWithin));
  world_.bus.detach("x2/joiner");
  return all;
}

const NodeCertificate* CertifiedSwarm::find(const std::string& id) const {
  if (const auto side = sides_.find(id); side != sides_.end()) {
    return &side->second->certificate;
  }
  const auto worker = workers_.find(id);
  return worker == workers_.end() ? nullptr : worker->second.get();
}

std::string CertifiedSwarm::unmet_goal(const store::View& view) const {
  const auto& root = view.cluster()->root_ca();
  const auto wanted = link::as_issuer(root.certificate());
  for (const auto& [id, node] : view.all<model::v1::Node>()) {
    const NodeCertificate* certificate = find(id);
    if (certificate == nullptr || !certificate->credentials()) {
      return "node " + id + " has no certificate";
    }
    if (certificate->tls().trust_root() != root.certificate() ||
        certificate->tls().issuer_public_key() != wanted->public_key) {
      return "node " + id + " has not followed the root" +
             (root.has_rotation() ? ", which is being rotated" : "");
    }
    if (node->description().tls().SerializeAsString() != certificate->tls().SerializeAsString()) {
      return "the managers were not told of the certificate of node " + id;
    }
  }
  return root.has_rotation() ? "the rotation of the root has not ended" : std::string();
}

}  // namespace skep::sim
