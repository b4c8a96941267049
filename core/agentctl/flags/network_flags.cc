#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/agentctl/flags/service_flags.h"
#include "core/agentctl/suggest.h"
#include "core/agentctl/text.h"

namespace skep::ctl {
namespace {

using model::v1::ContainerSpec;
using model::v1::EndpointSpec;
using model::v1::PublishedPort;
using model::v1::ServiceSpec;

Error bad(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message)};
}

bool same_port(const PublishedPort& a, const PublishedPort& b) {
  return a.target_port() == b.target_port() && a.protocol() == b.protocol() &&
         a.published_port() == b.published_port() && a.mode() == b.mode();
}

// Nothing would answer on such a port, so nobody may believe that it is published.
Error mesh_is_later(const PublishedPort& port) {
  const std::string published =
      port.published_port() == 0 ? "" : fmt::format(",published={}", port.published_port());
  return Error{Code::kUnimplemented,
               fmt::format("a port that every node answers on (mode=ingress, the routing mesh) is not "
                           "there yet: publish it where the tasks run, with mode=host,target={}{}",
                           port.target_port(), published),
               "NOT_YET"};
}

Status add_publish(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::vector<PublishedPort> ports, parse_publish(value));
  auto& known = *spec.mutable_endpoint()->mutable_ports();
  for (const PublishedPort& port : ports) {
    if (port.mode() != PublishedPort::HOST) {
      return mesh_is_later(port);
    }
    if (std::none_of(known.begin(), known.end(),
                     [&](const auto& one) { return same_port(one, port); })) {
      *known.Add() = port;
    }
  }
  return ok();
}

// "80" is the port inside the containers; "88:80" removes only the publication as 88.
Status remove_publish(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::vector<PublishedPort> ports, parse_publish(value));
  auto& known = *spec.mutable_endpoint()->mutable_ports();
  const bool names_mode = value.find("mode=") != std::string::npos;
  for (const PublishedPort& port : ports) {
    known.erase(std::remove_if(known.begin(), known.end(),
                               [&](const PublishedPort& one) {
                                 return one.target_port() == port.target_port() &&
                                        one.protocol() == port.protocol() &&
                                        (port.published_port() == 0 ||
                                         one.published_port() == port.published_port()) &&
                                        (!names_mode || one.mode() == port.mode());
                               }),
                known.end());
  }
  return ok();
}

Status set_endpoint_mode(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  if (value != "vip" && value != "dnsrr") {
    return bad(fmt::format("'{}' is not an endpoint mode: use vip or dnsrr", value));
  }
  if (value == "dnsrr") {
    return Error{Code::kUnimplemented,
                 "endpoint mode dnsrr is not there yet: names of services come with the networks between "
                 "nodes",
                 "NOT_YET"};
  }
  spec.mutable_endpoint()->set_mode(EndpointSpec::VIP);
  return ok();
}

Result<model::v1::NetworkAttachmentSpec> parse_network(const std::string& text) {
  model::v1::NetworkAttachmentSpec network;
  if (text.find('=') == std::string::npos) {
    network.set_target(text);
  } else {
    SKEP_TRY_ASSIGN(const std::vector<std::string> fields, split_csv(text));
    for (const std::string& field : fields) {
      SKEP_TRY_ASSIGN(const auto pair, parse_pair(field));
      if (pair.first == "name") {
        network.set_target(pair.second);
      } else if (pair.first == "alias") {
        network.add_aliases(pair.second);
      } else if (pair.first == "driver-opt") {
        SKEP_TRY_ASSIGN(const auto option, parse_pair(pair.second));
        (*network.mutable_driver_options())[option.first] = option.second;
      } else {
        const std::vector<std::string_view> keys{"name", "alias", "driver-opt"};
        return bad(fmt::format("unknown key '{}'{}; keys are {}", pair.first,
                               did_you_mean(pair.first, keys), comma_list(keys)));
      }
    }
  }
  if (network.target().empty()) {
    return bad("the name of the network is missing");
  }
  if (network.target() != "host" && network.target() != "none" && network.target() != "bridge") {
    return Error{
        Code::kUnimplemented,
        fmt::format(
            "network '{}' is not there yet: networks that people create come with a later version; "
            "use host, none or bridge",
            network.target()),
        "NOT_YET"};
  }
  return network;
}

Status remove_network(ServiceSpec& spec, const std::string& name, const FlagWorld& /*world*/) {
  auto& networks = *spec.mutable_task()->mutable_networks();
  networks.erase(std::remove_if(networks.begin(), networks.end(),
                                [&](const auto& one) { return one.target() == name; }),
                 networks.end());
  return ok();
}
Status add_network(ServiceSpec& spec, const std::string& value, const FlagWorld& world) {
  SKEP_TRY_ASSIGN(const auto network, parse_network(value));
  SKEP_TRY(remove_network(spec, network.target(), world));
  *spec.mutable_task()->add_networks() = network;
  return ok();
}

// "host:ip" as typed, "IP host" as kept (a line of /etc/hosts).
Result<std::string> hosts_line(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == 0 || colon == std::string::npos || colon + 1 == text.size()) {
    return bad(fmt::format("'{}' is not HOST:IP", text));
  }
  return text.substr(colon + 1) + " " + text.substr(0, colon);
}
Status add_host(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::string line, hosts_line(value));
  auto& hosts = *spec.mutable_task()->mutable_container()->mutable_hosts();
  if (std::find(hosts.begin(), hosts.end(), line) == hosts.end()) {
    hosts.Add(std::string(line));
  }
  return ok();
}
Status remove_host(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::string line, hosts_line(value));
  auto& hosts = *spec.mutable_task()->mutable_container()->mutable_hosts();
  hosts.erase(std::remove(hosts.begin(), hosts.end(), line), hosts.end());
  return ok();
}

using Strings = google::protobuf::RepeatedPtrField<std::string>;
template <Strings* (ContainerSpec::*Field)()>
Status add_to(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  Strings& list = *(spec.mutable_task()->mutable_container()->*Field)();
  if (std::find(list.begin(), list.end(), value) == list.end()) {
    list.Add(std::string(value));
  }
  return ok();
}
template <Strings* (ContainerSpec::*Field)()>
Status remove_from(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  Strings& list = *(spec.mutable_task()->mutable_container()->*Field)();
  list.erase(std::remove(list.begin(), list.end(), value), list.end());
  return ok();
}

constexpr auto kCreate = FlagUse::kCreate;
constexpr auto kUpdate = FlagUse::kUpdate;
constexpr auto kAdd = EditPhase::kAdd;
constexpr auto kRemove = EditPhase::kRemove;

constexpr std::array kNetwork{
    ServiceFlag{"--publish,-p", "port",
                "Publish a port on the nodes of the tasks: "
                "mode=host,target=PORT[,published=PORT][,protocol=tcp|udp|sctp]",
                kCreate, kAdd, true, add_publish},
    ServiceFlag{"--publish-add", "port", "Publish a port, as --publish of 'service create'", kUpdate, kAdd, true, add_publish},
    ServiceFlag{"--publish-rm", "port", "Stop publishing a port, by its target port", kUpdate,
                kRemove, true, remove_publish},
    ServiceFlag{"--endpoint-mode", "string", "vip (default); dnsrr is not there yet", FlagUse::kBoth,
                EditPhase::kSet, false, set_endpoint_mode},
    ServiceFlag{"--network", "network", "Network of the tasks: host, none or bridge", kCreate, kAdd,
                true, add_network},
    ServiceFlag{"--network-add", "network", "Add a network", kUpdate, kAdd, true, add_network},
    ServiceFlag{"--network-rm", "list", "Remove a network", kUpdate, kRemove, true, remove_network},
    ServiceFlag{"--host", "list", "Line of /etc/hosts: HOST:IP", kCreate, kAdd, true, add_host},
    ServiceFlag{"--host-add", "list", "Add a line of /etc/hosts: HOST:IP", kUpdate, kAdd, true,
                add_host},
    ServiceFlag{"--host-rm", "list", "Remove a line of /etc/hosts: HOST:IP", kUpdate, kRemove, true,
                remove_host},
    ServiceFlag{"--dns", "list", "DNS server of the containers", kCreate, kAdd, true,
                add_to<&ContainerSpec::mutable_dns_servers>},
    ServiceFlag{"--dns-add", "list", "Add a DNS server", kUpdate, kAdd, true,
                add_to<&ContainerSpec::mutable_dns_servers>},
    ServiceFlag{"--dns-rm", "list", "Remove a DNS server", kUpdate, kRemove, true,
                remove_from<&ContainerSpec::mutable_dns_servers>},
    ServiceFlag{"--dns-option", "list", "Option of the resolver", kCreate, kAdd, true,
                add_to<&ContainerSpec::mutable_dns_options>},
    ServiceFlag{"--dns-option-add", "list", "Add an option of the resolver", kUpdate, kAdd, true,
                add_to<&ContainerSpec::mutable_dns_options>},
    ServiceFlag{"--dns-option-rm", "list", "Remove an option of the resolver", kUpdate, kRemove,
                true, remove_from<&ContainerSpec::mutable_dns_options>},
    ServiceFlag{"--dns-search", "list", "DNS search domain", kCreate, kAdd, true,
                add_to<&ContainerSpec::mutable_dns_search>},
    ServiceFlag{"--dns-search-add", "list", "Add a DNS search domain", kUpdate, kAdd, true,
                add_to<&ContainerSpec::mutable_dns_search>},
    ServiceFlag{"--dns-search-rm", "list", "Remove a DNS search domain", kUpdate, kRemove, true,
                remove_from<&ContainerSpec::mutable_dns_search>},
};

}  // namespace

std::span<const ServiceFlag> network_flags() {
  return kNetwork;
}

}  // namespace skep::ctl
