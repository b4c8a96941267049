#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/agentctl/shape/shape.h"
#include "core/agentctl/text.h"

namespace skep::ctl {

using model::v1::EndpointSpec;
using model::v1::PublishedPort;
using model::v1::RestartPolicy;
using model::v1::ServiceSpec;
using model::v1::UpdateConfig;
using MountType = model::v1::Mount;

// Messages carry numbers we may not know: those read as the word of the zero value or "unknown".
std::string_view port_protocol_name(PublishedPort::Protocol protocol) {
  return protocol == PublishedPort::UDP ? "udp" : protocol == PublishedPort::SCTP ? "sctp" : "tcp";
}
std::string_view port_mode_name(PublishedPort::Mode mode) {
  return mode == PublishedPort::HOST ? "host" : "ingress";
}
std::string_view mount_type_name(model::v1::Mount::Type type) {
  return type == MountType::BIND ? "bind" : type == MountType::TMPFS ? "tmpfs" : "volume";
}
std::string_view restart_condition_name(RestartPolicy::Condition condition) {
  return condition == RestartPolicy::NONE         ? "none"
         : condition == RestartPolicy::ON_FAILURE ? "on-failure"
                                                  : "any";
}
std::string_view failure_action_name(UpdateConfig::FailureAction action) {
  return action == UpdateConfig::CONTINUE   ? "continue"
         : action == UpdateConfig::ROLLBACK ? "rollback"
                                            : "pause";
}
std::string_view order_name(UpdateConfig::Order order) {
  return order == UpdateConfig::START_FIRST ? "start-first" : "stop-first";
}
std::string_view endpoint_mode_name(EndpointSpec::ResolutionMode mode) {
  return mode == EndpointSpec::DNSRR ? "dnsrr" : "vip";
}
std::string_view service_mode_name(const ServiceSpec& spec) {
  switch (spec.mode_case()) {
    case ServiceSpec::kGlobal:
      return "global";
    case ServiceSpec::kReplicatedJob:
      return "replicated-job";
    case ServiceSpec::kGlobalJob:
      return "global-job";
    case ServiceSpec::kReplicated:
    case ServiceSpec::MODE_NOT_SET:
      return "replicated";
  }
  return "replicated";
}

std::string published_ports_text(std::vector<PublishedPort> ports, std::string_view address) {
  std::sort(ports.begin(), ports.end(), [](const PublishedPort& a, const PublishedPort& b) {
    return std::tuple(static_cast<int>(a.protocol()), a.published_port(), a.target_port()) <
           std::tuple(static_cast<int>(b.protocol()), b.published_port(), b.target_port());
  });
  const auto range = [](std::uint32_t first, std::uint32_t end) {
    return first == end ? fmt::format("{}", first) : fmt::format("{}-{}", first, end);
  };
  std::string text;
  for (std::size_t i = 0; i < ports.size();) {
    std::size_t last = i;
    while (last + 1 < ports.size() && ports[last + 1].protocol() == ports[i].protocol() &&
           ports[last + 1].published_port() == ports[last].published_port() + 1 &&
           ports[last + 1].target_port() == ports[last].target_port() + 1) {
      ++last;
    }
    text += fmt::format("{}{}:{}->{}/{}", text.empty() ? "" : ", ", address,
                        range(ports[i].published_port(), ports[last].published_port()),
                        range(ports[i].target_port(), ports[last].target_port()),
                        port_protocol_name(ports[i].protocol()));
    i = last + 1;
  }
  return text;
}

Value port_shape(const PublishedPort& port) {
  Value shape = Value::object();
  shape.set_given("Name", port.name());
  shape.set("Protocol", port_protocol_name(port.protocol())).set("TargetPort", port.target_port());
  shape.set_given("PublishedPort", port.published_port());
  return shape.set("PublishMode", port_mode_name(port.mode()));
}

Value ports_shape(const google::protobuf::RepeatedPtrField<PublishedPort>& ports) {
  Value list = Value::list();
  for (const PublishedPort& port : ports) {
    list.add(port_shape(port));
  }
  return list;
}

void add_meta(Value& object, const model::v1::Meta& meta) {
  object.set("Version", Value::object().set("Index", meta.version()));
  object.set("CreatedAt", print_time(meta.created_at()))
      .set("UpdatedAt", print_time(meta.updated_at()));
}

Value label_function(std::map<std::string, std::string> labels) {
  return Value::function(
      [labels = std::move(labels)](const Value::List& arguments) -> Result<Value> {
        const std::string* key = arguments.size() == 1 ? arguments[0].as_text() : nullptr;
        if (key == nullptr) {
          return Error{Code::kInvalidArgument,
                       ".Label takes the name of one label: {{.Label \"zone\"}}"};
        }
        const auto it = labels.find(*key);
        return Value(it == labels.end() ? "" : it->second);
      });
}

const std::set<std::string, std::less<>>& absent_fields() {
  static const std::set<std::string, std::less<>> kFields{"Addr",
                                                          "Aliases",
                                                          "Args",
                                                          "BindOptions",
                                                          "CapabilityAdd",
                                                          "CapabilityDrop",
                                                          "Command",
                                                          "CompletedAt",
                                                          "Configs",
                                                          "Constraints",
                                                          "ContainerID",
                                                          "ContainerStatus",
                                                          "DNSConfig",
                                                          "Dir",
                                                          "DriverConfig",
                                                          "DriverOpts",
                                                          "EndpointSpec",
                                                          "Engine",
                                                          "Env",
                                                          "Err",
                                                          "ExitCode",
                                                          "ForceUpdate",
                                                          "GenericResources",
                                                          "Global",
                                                          "GlobalJob",
                                                          "Groups",
                                                          "Healthcheck",
                                                          "Hostname",
                                                          "Hosts",
                                                          "Init",
                                                          "Interval",
                                                          "Labels",
                                                          "Leader",
                                                          "Limits",
                                                          "LogDriver",
                                                          "ManagerStatus",
                                                          "MaxAttempts",
                                                          "MaxReplicas",
                                                          "MemoryBytes",
                                                          "Message",
                                                          "Mounts",
                                                          "NanoCPUs",
                                                          "Name",
                                                          "Networks",
                                                          "NetworksAttachments",
                                                          "NodeID",
                                                          "OomScoreAdj",
                                                          "OpenStdin",
                                                          "Options",
                                                          "PID",
                                                          "Pids",
                                                          "Placement",
                                                          "Platforms",
                                                          "PortStatus",
                                                          "Ports",
                                                          "Preferences",
                                                          "PreviousSpec",
                                                          "PublishedPort",
                                                          "ReadOnly",
                                                          "Replicas",
                                                          "Replicated",
                                                          "ReplicatedJob",
                                                          "Reservations",
                                                          "RestartPolicy",
                                                          "Retries",
                                                          "RollbackConfig",
                                                          "Runtime",
                                                          "Secrets",
                                                          "Slot",
                                                          "Source",
                                                          "StartInterval",
                                                          "StartPeriod",
                                                          "StartedAt",
                                                          "StopGracePeriod",
                                                          "StopSignal",
                                                          "Sysctls",
                                                          "TTY",
                                                          "Timeout",
                                                          "TmpfsOptions",
                                                          "Ulimits",
                                                          "UpdateConfig",
                                                          "UpdateStatus",
                                                          "User",
                                                          "VirtualIPs",
                                                          "VolumeOptions",
                                                          "Window"};
  return kFields;
}

}  // namespace skep::ctl
