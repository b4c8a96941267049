#pragma once

// Who looks after the root and the join tokens of a simulated swarm: rotates them, replaces rotations by others,
// goes back to earlier roots, and tries tokens that must not work any more.

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "core/link/certificate.h"
#include "skep/model.pb.h"
#include "skep/rpc.h"
#include "skep/testing/local_bus.h"
#include "skep/testing/manual_env.h"

namespace skep::sim {

class CaOperator {
 public:
  struct World {
    testing::ManualLoop& loop;
    testing::LocalBus& bus;
    /// A person on one of the managers that run; nullptr: there is none.
    std::function<rpc::Caller*()> user;
    /// Ids of the managers that run.
    std::function<std::vector<std::string>()> managers;
    std::function<void(const std::string& name)> fire;
    std::function<void(const std::string& what)> violate;
  };
  CaOperator(World world, std::uint64_t seed);
  ~CaOperator();

  /// Join secrets that work in the beginning.
  void know(const model::v1::RootCa& root);
  void start();
  void stop();
  /// Rotations of the root that were acknowledged.
  [[nodiscard]] std::size_t rotations() const { return rotations_; }
  /// Dead tokens that were refused.
  [[nodiscard]] std::size_t refused() const { return refused_; }

 private:
  void later();
  void act();
  void rotate_root();
  void rotate_token(bool manager);
  void try_dead_token();

  World world_;
  testing::SeededRandom random_;
  rpc::MethodTable none_;
  rpc::Caller* joiner_ = nullptr;  // without a certificate
  std::vector<link::CertifiedKey> given_;  // roots that were made outside
  std::set<std::string> seen_[2];  // secrets of join tokens: of workers, of managers
  std::vector<std::string> dead_;  // those replaced since
  TimerId timer_ = 0;
  std::size_t rotations_ = 0;
  std::size_t refused_ = 0;
};

}  // namespace skep::sim
