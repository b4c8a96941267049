#include "core/control/scheduler/filters.h"

#include <algorithm>
#include <set>

#include "core/model/defaults.h"
#include "skep/mutant.h"

namespace skep::control {

namespace {

bool takes_tasks(const pb::Node& node) {
  return node.status().state() == pb::NODE_STATE_READY &&
         node.spec().availability() == pb::AVAILABILITY_ACTIVE;
}

const std::string* missing_driver(const pb::Node& node, const Requirements& wanted) {
  const auto& have = node.description().engine().drivers();
  for (const std::string& driver : wanted.drivers) {
    if (std::find(have.begin(), have.end(), driver) == have.end()) {
      return &driver;
    }
  }
  return nullptr;
}

const HostPort* taken_port(const NodeInfo& info, const Requirements& wanted) {
  for (const HostPort& port : wanted.host_ports) {
    const auto held = info.host_ports.find(port);
    if (held != info.host_ports.end() && held->second > 0) {
      return &port;
    }
  }
  return nullptr;
}

bool is_full(const NodeInfo& info, const Requirements& wanted) {
  return wanted.max_per_node > 0 &&
         info.wanted_tasks_of(wanted.group.first) >= wanted.max_per_node;
}

std::string nodes(std::size_t count) {
  return std::to_string(count) + (count == 1 ? " node" : " nodes");
}

std::string in_words(const Refusal& refusal, std::size_t count) {
  switch (refusal.filter) {
    case Filter::kReady: return nodes(count) + " not available for new tasks";
    case Filter::kResources: return "insufficient resources on " + nodes(count);
    case Filter::kPlugin: return "missing plugin " + refusal.detail + " on " + nodes(count);
    case Filter::kConstraint:
      return "constraint " + refusal.detail + " not satisfied on " + nodes(count);
    case Filter::kPlatform: return "unsupported platform on " + nodes(count);
    case Filter::kHostPort:
      return "host-mode port " + refusal.detail + " already in use on " + nodes(count);
    case Filter::kMaxPerNode: return "max replicas per node limit reached on " + nodes(count);
  }
  SKEP_UNREACHABLE();
}

}  // namespace

Requirements requirements_of(const pb::Task& task) {
  Requirements wanted;
  wanted.group = GroupKey(task.service_id(), task.spec_version());
  wanted.reserved = model::reservations_of(task.spec());
  std::set<std::string> drivers = {"runtime/" + std::string(model::runtime_driver(task.spec()))};
  for (const pb::Mount& mount : task.spec().container().mounts()) {
    if (mount.type() == pb::Mount::VOLUME) {
      drivers.insert("volume/" + (mount.volume_driver().empty() ? std::string(model::kVolumeDriver)
                                                                : mount.volume_driver()));
    }
  }
  for (const pb::NetworkAttachment& network : task.networks()) {
    drivers.insert("network/" + network.driver());
  }
  wanted.drivers.assign(drivers.begin(), drivers.end());
  if (auto constraints = model::parse_constraints(task.spec().placement().constraints())) {
    wanted.constraints = *std::move(constraints);
  } else {
    wanted.problem = constraints.error().message;
  }
  wanted.platforms = task.spec().placement().platforms();
  for (const pb::PublishedPort& port : task.ports()) {
    if (port.mode() == pb::PublishedPort::HOST && port.published_port() != 0) {
      wanted.host_ports.emplace_back(port.protocol(), port.published_port());
    }
  }
  wanted.max_per_node = task.spec().placement().max_replicas_per_node();
  return wanted;
}

bool suits(const NodeInfo& info, const Requirements& wanted) {
  return info.node != nullptr && wanted.problem.empty() && takes_tasks(*info.node) &&
         missing_driver(*info.node, wanted) == nullptr &&
         (model::first_mismatch(wanted.constraints, *info.node) == nullptr || SKEP_MUTANT(kConstraintsIgnored)) &&
         model::platform_matches(wanted.platforms, info.node->description().platform());
}

bool has_room(const NodeInfo& info, const Requirements& wanted) {
  return info.available.fits(wanted.reserved) && taken_port(info, wanted) == nullptr &&
         !is_full(info, wanted);
}

std::optional<Refusal> refusal(const NodeInfo& info, const Requirements& wanted) {
  if (!takes_tasks(*info.node)) {
    return Refusal{Filter::kReady};
  }
  if (!info.available.fits(wanted.reserved)) {
    return Refusal{Filter::kResources};
  }
  if (const std::string* driver = missing_driver(*info.node, wanted)) {
    return Refusal{Filter::kPlugin, *driver};
  }
  if (!wanted.problem.empty()) {
    return Refusal{Filter::kConstraint, wanted.problem};
  }
  if (const auto* constraint = model::first_mismatch(wanted.constraints, *info.node)) {
    return Refusal{Filter::kConstraint, constraint->text};
  }
  if (!model::platform_matches(wanted.platforms, info.node->description().platform())) {
    return Refusal{Filter::kPlatform};
  }
  if (const HostPort* port = taken_port(info, wanted)) {
    return Refusal{Filter::kHostPort, std::to_string(port->second)};
  }
  if (is_full(info, wanted)) {
    return Refusal{Filter::kMaxPerNode};
  }
  return std::nullopt;
}

std::string Explanation::text() const {
  std::string text;
  for (const auto& [refusal, count] : counts_) {
    text += (text.empty() ? "" : "; ") + in_words(refusal, count);
  }
  return text.empty() ? "no suitable node" : "no suitable node (" + text + ")";
}

}  // namespace skep::control
