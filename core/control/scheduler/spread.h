#pragma once

// Which of the fitting nodes comes next: a tree of placement preferences whose leaves are heaps. A
// placement costs O(log nodes), however many nodes there are.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "core/control/scheduler/filters.h"

namespace skep::control {

/// Ranks nodes for one group. Node infos must not change but through placed() while it lives.
class Spread {
 public:
  Spread(const Requirements& wanted, const pb::Placement& placement, WallTime now);
  ~Spread();

  /// Offers a node that suits. One without room counts in its branch and is never best().
  void add(NodeInfo& node);
  /// The best node, or nullptr when no node has room. Call placed() before the next call.
  NodeInfo* best();
  /// One more task was placed on what best() returned (and counted there).
  void placed();

 private:
  /// Failing often loses, then fewest tasks of the service, then fewest tasks, then by order.
  using Rank = std::tuple<bool, std::size_t, std::size_t, std::size_t>;
  struct Leaf {
    Rank rank;
    NodeInfo* node;
    bool operator<(const Leaf& other) const { return rank > other.rank; }  // a max-heap of the least
  };
  struct Branch {
    std::size_t tasks = 0;  // of the service, on nodes below
    std::map<std::string, std::unique_ptr<Branch>> children;
    std::set<std::pair<std::size_t, std::string>> open;  // children with room, by tasks
    std::vector<Leaf> heap;                              // only at the bottom
  };

  [[nodiscard]] Rank rank(const NodeInfo& node, std::size_t order) const;
  void insert(Branch& branch, std::size_t depth, NodeInfo& node, std::size_t order);
  static bool is_open(const Branch& branch) {
    return !branch.heap.empty() || !branch.open.empty();
  }

  const Requirements& wanted_;
  std::vector<std::string> descriptors_;
  WallTime now_;
  Branch root_;
  std::size_t added_ = 0;
  std::vector<std::pair<Branch*, std::string>> path_;  // from the root to the leaf of best()
  Branch* bottom_ = nullptr;
};

}  // namespace skep::control
