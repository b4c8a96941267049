#pragma once

// What must always hold of the certificates of a swarm: every two machines accept each other's, at every moment of
// a rotation, and none says more than the swarm decided.

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/link/tls.h"
#include "core/store/store.h"

namespace skep::sim {

class CaInvariants {
 public:
  explicit CaInvariants(std::function<void(const std::string&)> violate) : violate_(std::move(violate)) {}

  /// The roles that nodes were given. Once, when the first manager applies it.
  void on_commit(const store::Commit& commit);
  /// The machine asks for another certificate: what was decided before, that one must say.
  void on_asked(const std::string& machine) { asked_[machine] = roles_[machine].size(); }
  /// The machine has these from now on.
  void on_changed(const std::string& machine, const link::Credentials& credentials);
  /// Pairs of a certificate and roots that were tried.
  [[nodiscard]] std::size_t verified() const { return accepted_.size(); }

 private:
  struct Held {
    std::size_t certificate = 0;
    std::size_t roots = 0;
  };
  std::size_t number_of(const std::string& text);
  void check(const std::string& who, const Held& shown, const std::string& by, const Held& trusted);

  std::function<void(const std::string&)> violate_;
  static constexpr int kRemoved = -1;
  std::map<std::string, std::vector<int>> roles_;  // of nodes, one after the other
  std::map<std::string, std::size_t> asked_;       // how many of them were decided before the last question
  std::map<std::string, Held> held_;            // by machine
  std::map<std::string, std::size_t> numbers_;  // of texts
  std::map<std::size_t, const std::string*> texts_;
  std::set<std::pair<std::size_t, std::size_t>> accepted_;  // certificate, roots
};

}  // namespace skep::sim
