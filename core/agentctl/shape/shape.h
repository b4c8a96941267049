#pragma once

// Objects in the shape Docker's `inspect` prints, so that scripts and templates written for docker
// read them as they are. Pure functions of messages; times are RFC 3339, durations nanoseconds.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/agentctl/template/value.h"
#include "skep/agent.pb.h"
#include "skep/model.pb.h"
#include "skep/plugin.pb.h"
#include "skep/runtime.pb.h"
#include "skep/volume.pb.h"

namespace skep::ctl {

Value service_shape(const model::v1::Service& service);
Value service_spec_shape(const model::v1::ServiceSpec& spec);
Value task_spec_shape(const model::v1::TaskSpec& spec);
Value task_shape(const model::v1::Task& task);
Value node_shape(const model::v1::Node& node);
Value image_shape(const runtime::v1::Image& image);
Value container_shape(const runtime::v1::ContainerInfo& container);
Value volume_shape(const volume::v1::Volume& volume);
Value plugin_shape(const plugin::v1::PluginInfo& plugin);
Value info_shape(const agent::v1::InfoResponse& info);

/// Fields that belong to a shape but are left out when they say nothing; templates read them as
/// nil instead of failing ({{if .Spec.Mode.Global}}).
const std::set<std::string, std::less<>>& absent_fields();

/// {"Label": function} for rows: {{.Label "zone"}}.
Value label_function(std::map<std::string, std::string> labels);

// ---- words ----
std::string_view port_protocol_name(model::v1::PublishedPort::Protocol protocol);
/// "*:8080-8081->80-81/tcp, *:53->53/udp": sorted, neighbours folded, as Docker's tables have it. `address` stands for
/// what of the node they are published on.
std::string published_ports_text(std::vector<model::v1::PublishedPort> ports, std::string_view address);
std::string_view port_mode_name(model::v1::PublishedPort::Mode mode);
std::string_view mount_type_name(model::v1::Mount::Type type);
std::string_view restart_condition_name(model::v1::RestartPolicy::Condition condition);
std::string_view failure_action_name(model::v1::UpdateConfig::FailureAction action);
std::string_view order_name(model::v1::UpdateConfig::Order order);
std::string_view endpoint_mode_name(model::v1::EndpointSpec::ResolutionMode mode);
/// "replicated", "global", "replicated-job", "global-job".
std::string_view service_mode_name(const model::v1::ServiceSpec& spec);

// ---- pieces the shape files share ----
template <class Repeated>
Value strings_shape(const Repeated& items) {
  Value list = Value::list();
  for (const auto& item : items) {
    list.add(std::string(item));
  }
  return list;
}
/// Members in the order of their keys.
template <class ProtoMap>
Value map_shape(const ProtoMap& map) {
  Value object = Value::dictionary();
  for (const auto& [key, value] :
       std::map<std::string, typename ProtoMap::mapped_type>(map.begin(), map.end())) {
    object.set(key, value);
  }
  return object;
}
Value port_shape(const model::v1::PublishedPort& port);
Value ports_shape(const google::protobuf::RepeatedPtrField<model::v1::PublishedPort>& ports);
void add_meta(Value& object, const model::v1::Meta& meta);

}  // namespace skep::ctl
