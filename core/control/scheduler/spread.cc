#include "core/control/scheduler/spread.h"

#include <algorithm>

namespace skep::control {

Spread::Spread(const Requirements& wanted, const pb::Placement& placement, WallTime now)
    : wanted_(wanted), now_(now) {
  for (const pb::PlacementPreference& preference : placement.preferences()) {
    descriptors_.push_back(preference.spread_by());
  }
}

Spread::~Spread() = default;

Spread::Rank Spread::rank(const NodeInfo& node, std::size_t order) const {
  return {node.fails_often(wanted_.group, now_), node.wanted_tasks_of(wanted_.group.first),
          node.wanted_tasks, order};
}

void Spread::insert(Branch& branch, std::size_t depth, NodeInfo& node, std::size_t order) {
  branch.tasks += node.wanted_tasks_of(wanted_.group.first);
  if (depth == descriptors_.size()) {
    if (has_room(node, wanted_)) {
      branch.heap.push_back({rank(node, order), &node});
      std::push_heap(branch.heap.begin(), branch.heap.end());
    }
    return;
  }
  const std::string value = model::spread_value(descriptors_[depth], *node.node).value_or("");
  std::unique_ptr<Branch>& child = branch.children[value];
  if (child == nullptr) {
    child = std::make_unique<Branch>();
  } else {
    branch.open.erase({child->tasks, value});
  }
  insert(*child, depth + 1, node, order);
  if (is_open(*child)) {
    branch.open.insert({child->tasks, value});
  }
}

void Spread::add(NodeInfo& node) {
  insert(root_, 0, node, added_++);
}

NodeInfo* Spread::best() {
  path_.clear();
  bottom_ = &root_;
  for (std::size_t depth = 0; depth < descriptors_.size(); ++depth) {
    if (bottom_->open.empty()) {
      return nullptr;
    }
    const std::string& value = bottom_->open.begin()->second;
    path_.emplace_back(bottom_, value);
    bottom_ = bottom_->children[value].get();
  }
  return bottom_->heap.empty() ? nullptr : bottom_->heap.front().node;
}

void Spread::placed() {
  std::pop_heap(bottom_->heap.begin(), bottom_->heap.end());
  Leaf& leaf = bottom_->heap.back();
  if (has_room(*leaf.node, wanted_)) {
    leaf.rank = rank(*leaf.node, std::get<3>(leaf.rank));
    std::push_heap(bottom_->heap.begin(), bottom_->heap.end());
  } else {
    bottom_->heap.pop_back();
  }
  for (std::size_t i = path_.size(); i-- > 0;) {
    auto& [parent, value] = path_[i];
    Branch& child = *parent->children[value];
    parent->open.erase({child.tasks, value});
    ++child.tasks;
    if (is_open(child)) {
      parent->open.insert({child.tasks, value});
    }
  }
}

}  // namespace skep::control
