#include "core/node/templates.h"

#include "core/node/record.h"

namespace skep::node {
namespace {

constexpr std::string_view kLabelsPrefix = ".Service.Labels.";
constexpr std::string_view kIndexPrefix = "index .Service.Labels ";

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string label(const TemplateValues& values, std::string_view key) {
  const auto it = values.service_labels.find(key);
  return it == values.service_labels.end() ? std::string() : it->second;
}

Result<std::string> lookup(std::string_view name, const TemplateValues& values) {
  if (const auto it = values.values.find(name); it != values.values.end()) {
    return it->second;
  }
  if (name.starts_with(kLabelsPrefix)) {
    return label(values, name.substr(kLabelsPrefix.size()));
  }
  if (name.starts_with(kIndexPrefix)) {
    const auto key = trim(name.substr(kIndexPrefix.size()));
    if (key.size() >= 2 && key.front() == '"' && key.back() == '"') {
      return label(values, key.substr(1, key.size() - 2));
    }
  }
  std::string known;
  for (const auto& [key, value] : values.values) {
    known += (known.empty() ? "" : " ") + key;
  }
  return Error{Code::kInvalidArgument,
               "template '{{" + std::string(name) + "}}' is not supported: use one of " + known +
                   " .Service.Labels.KEY",
               "UNSUPPORTED_TEMPLATE"};
}

Status expand_in_place(std::string& text, const TemplateValues& values, std::string_view where) {
  auto expanded = expand_template(text, values);
  if (!expanded) {
    return std::move(expanded).error().with_context("expanding " + std::string(where));
  }
  text = *std::move(expanded);
  return ok();
}

Status expand_mount(model::v1::Mount& mount, const TemplateValues& values) {
  SKEP_TRY(expand_in_place(*mount.mutable_source(), values, "mount source"));
  SKEP_TRY(expand_in_place(*mount.mutable_target(), values, "mount target"));
  for (auto& [key, value] : *mount.mutable_volume_labels()) {
    SKEP_TRY(expand_in_place(value, values, "volume label '" + key + "'"));
  }
  for (auto& [key, value] : *mount.mutable_volume_options()) {
    SKEP_TRY(expand_in_place(value, values, "volume option '" + key + "'"));
  }
  return ok();
}

}  // namespace

TemplateValues template_values(const model::v1::Task& task, const NodeIdentity& node) {
  TemplateValues result;
  result.values = {
      {".Service.ID", task.service_id()},
      {".Service.Name", task.service_name()},
      {".Node.ID", node.node_id},
      {".Node.Hostname", node.hostname},
      {".Node.Platform.OS", node.platform.os()},
      {".Node.Platform.Architecture", node.platform.architecture()},
      {".Task.ID", task.id()},
      {".Task.Name", task_name(task)},
      // A task of a global service has no slot: its node's id stands for it.
      {".Task.Slot", task.slot() == 0 ? node.node_id : std::to_string(task.slot())},
  };
  result.service_labels.insert(task.service_labels().begin(), task.service_labels().end());
  return result;
}

Result<std::string> expand_template(std::string_view text, const TemplateValues& values) {
  std::string result;
  for (;;) {
    const auto open = text.find("{{");
    result += text.substr(0, open);
    if (open == std::string_view::npos) {
      return result;
    }
    const auto close = text.find("}}", open);
    if (close == std::string_view::npos) {
      return Error{Code::kInvalidArgument,
                   "template '" + std::string(text.substr(open)) + "' is not closed: add '}}'",
                   "UNSUPPORTED_TEMPLATE"};
    }
    SKEP_TRY_ASSIGN(const std::string value,
                    lookup(trim(text.substr(open + 2, close - open - 2)), values));
    result += value;
    text.remove_prefix(close + 2);
  }
}

Status expand_spec(model::v1::ContainerSpec& spec, const TemplateValues& values) {
  SKEP_TRY(expand_in_place(*spec.mutable_hostname(), values, "hostname"));
  for (auto& variable : *spec.mutable_env()) {
    const std::string name = variable.substr(0, variable.find('='));
    SKEP_TRY(expand_in_place(variable, values, "environment variable '" + name + "'"));
  }
  for (auto& mount : *spec.mutable_mounts()) {
    SKEP_TRY(expand_mount(mount, values));
  }
  return ok();
}

}  // namespace skep::node
