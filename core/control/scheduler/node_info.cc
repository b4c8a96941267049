#include "core/control/scheduler/node_info.h"

#include <algorithm>

#include "core/model/defaults.h"
#include "core/model/task_state.h"

namespace skep::control {

bool NodeInfo::fails_often(const GroupKey& group, WallTime now) const {
  if (failures.empty()) {
    return false;
  }
  const auto found = failures.find(group);
  if (found == failures.end()) {
    return false;
  }
  const WallTime since = now - Duration(model::kNodeFailuresWindow).count();
  static_assert(std::tuple_size_v<decltype(Failures::at)> == model::kNodeFailuresMax);
  return std::all_of(found->second.at.begin(), found->second.at.end(),
                     [since](WallTime at) { return at > since; });
}

void NodeSet::put_node(store::Ptr<pb::Node> node) {
  NodeInfo& info = nodes_[node->id()];
  if (info.node != nullptr) {
    info.available -= model::capacity_of(*info.node);
  }
  info.available += model::capacity_of(*node);
  info.node = std::move(node);
}

void NodeSet::remove_node(const std::string& id) {
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) {
    return;
  }
  NodeInfo& info = found->second;
  if (info.node != nullptr) {
    info.available -= model::capacity_of(*info.node);
    info.node = nullptr;
  }
  // Tasks still recorded there give back later what they hold; without any, forget the node.
  if (info.wanted_tasks == 0 && info.available.empty()) {
    nodes_.erase(found);
  }
}

NodeInfo* NodeSet::find(const std::string& id) {
  const auto found = nodes_.find(id);
  return found == nodes_.end() || found->second.node == nullptr ? nullptr : &found->second;
}

void NodeSet::change(const pb::Task& task, int sign) {
  if (!model::occupies_node(task)) {
    return;
  }
  NodeInfo& info = nodes_[task.node_id()];
  const model::Amounts reserved = model::reservations_of(task.spec());
  if (!reserved.empty()) {
    sign > 0 ? info.available -= reserved : info.available += reserved;
  }
  const auto add = [sign](std::size_t& count) {
    count = sign > 0 ? count + 1 : count - std::min<std::size_t>(count, 1);
  };
  if (model::is_wanted(task)) {
    add(info.wanted_tasks);
    add(info.wanted_of_service[task.service_id()]);
  }
  for (const pb::PublishedPort& port : task.ports()) {
    if (port.mode() == pb::PublishedPort::HOST && port.published_port() != 0) {
      add(info.host_ports[HostPort(port.protocol(), port.published_port())]);
    }
  }
}

void NodeSet::note_failure(const pb::Task& task, WallTime when) {
  const auto node = nodes_.find(task.node_id());
  if (node == nodes_.end()) {
    return;
  }
  NodeInfo::Failures& failures =
      node->second.failures[GroupKey(task.service_id(), task.spec_version())];
  failures.at[failures.next] = when;
  failures.next = (failures.next + 1) % failures.at.size();
}

}  // namespace skep::control
