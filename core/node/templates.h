#pragma once

// Placeholders in hostname, environment and mounts of a task: {{.Service.ID}}, {{.Service.Name}},
// {{.Service.Labels.KEY}}, {{index .Service.Labels "KEY"}}, {{.Node.ID}}, {{.Node.Hostname}},
// {{.Node.Platform.OS}}, {{.Node.Platform.Architecture}}, {{.Task.ID}}, {{.Task.Name}},
// {{.Task.Slot}}. Pure.

#include <map>
#include <string>
#include <string_view>

#include "skep/model.pb.h"
#include "skep/result.h"

namespace skep::node {

struct TemplateValues {
  std::map<std::string, std::string, std::less<>> values;  ///< ".Service.Name" -> "web"
  std::map<std::string, std::string, std::less<>> service_labels;
};

struct NodeIdentity {
  std::string node_id;
  std::string hostname;
  model::v1::Platform platform;
};

TemplateValues template_values(const model::v1::Task& task, const NodeIdentity& node);

/// `text` with every placeholder replaced. kInvalidArgument for one that is unknown, naming those
/// that exist, or not closed. Text without "{{" comes back as it is.
Result<std::string> expand_template(std::string_view text, const TemplateValues& values);

/// Expands hostname, environment values, and source, target, labels and options of mounts.
Status expand_spec(model::v1::ContainerSpec& spec, const TemplateValues& values);

}  // namespace skep::node
