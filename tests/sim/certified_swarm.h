#pragma once

// What a world with certificates has beyond others: the swarm's root, the certificates of all machines, the node
// side of managers, somebody who rotates roots and tokens, and the invariants of it all.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ca_invariants.h"
#include "ca_operator.h"
#include "manager_side.h"
#include "seeded_openssl.h"

namespace skep::sim {

class CertifiedSwarm {
 public:
  using Connects = std::function<bool(const std::string& from, const std::string& to)>;
  CertifiedSwarm(std::uint64_t seed, CaOperator::World world, Connects connects);

  /// Of the new swarm.
  model::v1::RootCa make_root();
  /// The nodes become what they are by join tokens, as agents do: each of them is a Node object already and gets its
  /// certificate of `manager`, which leads. False: one did not.
  bool join(const std::vector<std::string>& ids, rig::ManagerProcess& manager);
  /// Of a worker; made at the first question.
  NodeCertificate& of(const std::string& id);

  /// A manager's process began, its process ends, a worker's machine it is now.
  void began(rig::ManagerProcess& machine) { start(machine, /*manager=*/true); }
  void ended(const std::string& id);
  void demoted(rig::ManagerProcess& machine) { start(machine, /*manager=*/false); }

  void on_commit(const store::Commit& commit) { invariants_.on_commit(commit); }
  void start_operator() { operator_.start(); }
  void heal() { operator_.stop(); }
  /// Why the swarm's root is not that of all nodes; empty: it is.
  [[nodiscard]] std::string unmet_goal(const store::View& view) const;
  [[nodiscard]] std::size_t rotations() const { return operator_.rotations(); }
  [[nodiscard]] std::size_t tokens_refused() const { return operator_.refused(); }

 private:
  void start(rig::ManagerProcess& machine, bool manager);
  [[nodiscard]] NodeCertificate::Hooks watched(const std::string& id);
  [[nodiscard]] const NodeCertificate* find(const std::string& id) const;

  SeededOpenssl openssl_;  // first: the others draw of it
  testing::SeededRandom random_;
  CaOperator::World world_;
  Connects connects_;
  CaInvariants invariants_;
  CaOperator operator_;
  std::map<std::string, std::unique_ptr<NodeCertificate>> workers_;
  std::map<std::string, std::unique_ptr<ManagerSide>> sides_;
};

}  // namespace skep::sim
