#pragma once

// What the scheduler knows of every node, kept up to date task by task: nothing is ever counted
// again from the start. Decisions in flight are counted as if they had happened.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/control/orchestrator/decision.h"
#include "core/model/resources.h"
#include "core/store/view.h"

namespace skep::control {

using HostPort = std::pair<pb::PublishedPort::Protocol, std::uint32_t>;
/// Tasks of one service and version: placed together, and blamed together.
using GroupKey = std::pair<std::string, std::uint64_t>;

struct NodeInfo {
  store::Ptr<pb::Node> node;     ///< null while only tasks were seen
  model::Amounts available;      ///< capacity less all reservations; may be negative
  std::size_t wanted_tasks = 0;  ///< tasks that shall run here
  std::unordered_map<std::string, std::size_t> wanted_of_service;
  std::map<HostPort, std::size_t> host_ports;  ///< held by tasks that have not ended
  /// Times of the last failures of a service version here, oldest overwritten first.
  struct Failures {
    std::array<WallTime, 5> at{};
    std::size_t next = 0;
  };
  std::map<GroupKey, Failures> failures;

  [[nodiscard]] std::size_t wanted_tasks_of(const std::string& service_id) const {
    const auto found = wanted_of_service.find(service_id);
    return found == wanted_of_service.end() ? 0 : found->second;
  }
  /// Five failures of this service version within five minutes: others are better.
  [[nodiscard]] bool fails_often(const GroupKey& group, WallTime now) const;
};

/// All nodes. References to a NodeInfo stay valid until its node is removed.
class NodeSet {
 public:
  /// Node appeared or changed.
  void put_node(store::Ptr<pb::Node> node);
  void remove_node(const std::string& id);
  /// The task begins or ceases to hold its node's resources; tasks that hold none are ignored.
  void hold(const pb::Task& task) { change(task, +1); }
  void release(const pb::Task& task) { change(task, -1); }
  /// The task failed there at `when`.
  void note_failure(const pb::Task& task, WallTime when);

  [[nodiscard]] NodeInfo* find(const std::string& id);
  /// In order of id.
  [[nodiscard]] std::map<std::string, NodeInfo>& all() { return nodes_; }

 private:
  void change(const pb::Task& task, int sign);

  std::map<std::string, NodeInfo> nodes_;
};

}  // namespace skep::control
