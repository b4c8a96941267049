#include "core/control/ports/ports.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "core/model/defaults.h"
#include "core/model/task_state.h"

namespace skep::control {

namespace {

using PortKey = std::pair<pb::PublishedPort::Protocol, std::uint32_t>;
/// Who has a port: the service's name.
using PortsInUse = std::map<PortKey, std::string>;

PortsInUse ports_in_use(const store::View& view, std::string_view except_service) {
  PortsInUse in_use;
  for (const auto& [id, service] : view.all<pb::Service>()) {
    if (id == except_service) {
      continue;
    }
    for (const pb::PublishedPort& port : service->endpoint().ports()) {
      if (port.mode() == pb::PublishedPort::INGRESS && port.published_port() != 0) {
        in_use.emplace(PortKey(port.protocol(), port.published_port()), service->spec().name());
      }
    }
  }
  return in_use;
}

Error taken(std::uint32_t number, const std::string& owner) {
  return Error{Code::kAlreadyExists,
               "port '" + std::to_string(number) + "' is already in use by service '" + owner +
                   "' as an ingress port: publish another one",
               "PORT_IN_USE"};
}

/// The number this port had before, or 0.
std::uint32_t previous_number(const pb::Endpoint& before, const pb::PublishedPort& wanted) {
  for (const pb::PublishedPort& port : before.ports()) {
    if (port.mode() == wanted.mode() && port.protocol() == wanted.protocol() &&
        port.target_port() == wanted.target_port() && port.name() == wanted.name() &&
        port.published_port() >= model::kDynamicPortFirst &&
        port.published_port() <= model::kDynamicPortLast) {
      return port.published_port();
    }
  }
  return 0;
}

std::uint32_t free_number(const PortsInUse& in_use, pb::PublishedPort::Protocol protocol) {
  for (std::uint32_t number = model::kDynamicPortFirst; number <= model::kDynamicPortLast;
       ++number) {
    if (!in_use.contains(PortKey(protocol, number))) {
      return number;
    }
  }
  return 0;
}

void attach_networks(const store::View& view, pb::Task& task) {
  task.clear_networks();
  for (const pb::NetworkAttachmentSpec& wanted : task.spec().networks()) {
    pb::NetworkAttachment& attachment = *task.add_networks();
    auto network = view.get<pb::Network>(wanted.target());
    if (network == nullptr) {
      network = view.network_by_name(wanted.target());
    }
    // Without an object it is a network every node has: host, none, bridge.
    attachment.set_network_id(network != nullptr ? network->id() : wanted.target());
    attachment.set_network_name(network != nullptr ? network->spec().name() : wanted.target());
    attachment.set_driver(network != nullptr ? network->spec().driver() : wanted.target());
    *attachment.mutable_aliases() = wanted.aliases();
    *attachment.mutable_driver_options() = wanted.driver_options();
  }
}

}  // namespace

Status check_published_ports(const store::View& view, const pb::ServiceSpec& spec,
                             std::string_view service_id) {
  const PortsInUse in_use = ports_in_use(view, service_id);
  for (const pb::PublishedPort& port : spec.endpoint().ports()) {
    if (port.mode() != pb::PublishedPort::INGRESS || port.published_port() == 0) {
      continue;
    }
    const auto owner = in_use.find(PortKey(port.protocol(), port.published_port()));
    if (owner != in_use.end()) {
      return taken(port.published_port(), owner->second);
    }
  }
  return ok();
}

bool endpoint_is_allocated(const pb::Service& service) {
  const pb::Endpoint& endpoint = service.endpoint();
  if (endpoint.ports_size() != service.spec().endpoint().ports_size() ||
      endpoint.spec().SerializeAsString() != service.spec().endpoint().SerializeAsString()) {
    return false;
  }
  return std::none_of(endpoint.ports().begin(), endpoint.ports().end(), [](const auto& port) {
    return port.mode() == pb::PublishedPort::INGRESS && port.published_port() == 0;
  });
}

Result<pb::Endpoint> allocate_endpoint(const store::View& view, const pb::Service& service) {
  PortsInUse in_use = ports_in_use(view, service.id());
  pb::Endpoint endpoint = service.endpoint();
  *endpoint.mutable_spec() = service.spec().endpoint();
  *endpoint.mutable_ports() = service.spec().endpoint().ports();
  const std::string& name = service.spec().name();
  for (pb::PublishedPort& port : *endpoint.mutable_ports()) {
    if (port.mode() != pb::PublishedPort::INGRESS || port.published_port() == 0) {
      continue;
    }
    const auto [owner, inserted] =
        in_use.emplace(PortKey(port.protocol(), port.published_port()), name);
    if (!inserted) {
      return taken(port.published_port(), owner->second);
    }
  }
  for (pb::PublishedPort& port : *endpoint.mutable_ports()) {
    if (port.mode() != pb::PublishedPort::INGRESS || port.published_port() != 0) {
      continue;  // A host-mode port without a number gets one on the node.
    }
    std::uint32_t number = previous_number(service.endpoint(), port);
    if (number == 0 || in_use.contains(PortKey(port.protocol(), number))) {
      number = free_number(in_use, port.protocol());
    }
    if (number == 0) {
      return Error{Code::kResourceExhausted,
                   "no port from 30000 to 32767 is free: publish a port with a number of your own",
                   "NO_FREE_PORT"};
    }
    in_use.emplace(PortKey(port.protocol(), number), name);
    port.set_published_port(number);
  }
  return endpoint;
}

void prepare_task(const store::View& view, const pb::Service& service, pb::Task& task,
                  WallTime now) {
  if (!endpoint_is_allocated(service)) {
    return;
  }
  *task.mutable_ports() = service.endpoint().ports();
  attach_networks(view, task);
  pb::TaskStatus& status = *task.mutable_status();
  status.set_state(pb::TASK_STATE_PENDING);
  status.set_timestamp(now);
  status.set_message("pending task scheduling");
  status.clear_error();
}

Decision reconcile_ports(const store::View& view, const pb::Service& service, WallTime now) {
  Decision decision;
  pb::Service allocated = service;
  std::string problem;
  if (!endpoint_is_allocated(service)) {
    if (auto endpoint = allocate_endpoint(view, service)) {
      *allocated.mutable_endpoint() = *std::move(endpoint);
      store::Transaction unit;
      unit.put(allocated);
      decision.add(std::move(unit));
    } else {
      problem = endpoint.error().message;
    }
  }
  for (const auto& [id, task] : view.tasks_of_service(service.id())) {
    if (task->status().state() != pb::TASK_STATE_NEW || !model::is_wanted(*task)) {
      continue;
    }
    pb::Task changed = *task;
    prepare_task(view, allocated, changed, now);
    if (changed.status().state() == pb::TASK_STATE_NEW) {
      if (changed.status().error() == problem) {
        continue;
      }
      changed.mutable_status()->set_error(problem);
    }
    store::Transaction unit;
    unit.put(std::move(changed));
    decision.add(std::move(unit));
  }
  return decision;
}

}  // namespace skep::control
