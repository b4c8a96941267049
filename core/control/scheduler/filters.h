#pragma once

// The filters: what a group of tasks needs of a node, and why a node was refused. Order: ready,
// resources, plugins, constraints, platform, host ports, tasks per node.

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "core/control/scheduler/node_info.h"
#include "core/model/constraint.h"

namespace skep::control {

/// What the tasks of one group ask of their node; taken from one of them.
struct Requirements {
  GroupKey group;
  model::Amounts reserved;
  std::vector<std::string> drivers;  ///< "runtime/oci", "volume/local", "network/bridge"
  std::vector<model::Constraint> constraints;
  google::protobuf::RepeatedPtrField<pb::Platform> platforms;
  std::vector<HostPort> host_ports;
  std::uint64_t max_per_node = 0;  ///< 0 = no limit
  std::string problem;             ///< the spec cannot be understood: no node fits
};
Requirements requirements_of(const pb::Task& task);

enum class Filter { kReady, kResources, kPlugin, kConstraint, kPlatform, kHostPort, kMaxPerNode };
struct Refusal {
  Filter filter;
  std::string detail = {};  ///< which constraint, driver or port
  bool operator<(const Refusal& other) const {
    return std::tie(filter, detail) < std::tie(other.filter, other.detail);
  }
};

/// Whether the node takes new tasks, has the drivers, meets constraints and platform: what placing
/// tasks does not change.
bool suits(const NodeInfo& node, const Requirements& wanted);
/// Whether one more task fits what is left: resources, host ports, tasks per node.
bool has_room(const NodeInfo& node, const Requirements& wanted);
/// The first filter that refuses the node; absent when it fits.
std::optional<Refusal> refusal(const NodeInfo& node, const Requirements& wanted);

/// Counts refusals and puts them into words.
class Explanation {
 public:
  void add(const Refusal& refusal) { ++counts_[refusal]; }
  /// "no suitable node (insufficient resources on 2 nodes; ...)"; "no suitable node" without any.
  [[nodiscard]] std::string text() const;

 private:
  std::map<Refusal, std::size_t> counts_;
};

}  // namespace skep::control
