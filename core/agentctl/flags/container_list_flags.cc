#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "core/agentctl/flags/service_flags.h"
#include "core/agentctl/text.h"

namespace skep::ctl {
namespace {

using model::v1::ContainerSpec;
using model::v1::ServiceSpec;
using Strings = google::protobuf::RepeatedPtrField<std::string>;
using Labels = google::protobuf::Map<std::string, std::string>;

ContainerSpec& container(ServiceSpec& spec) {
  return *spec.mutable_task()->mutable_container();
}

void put_environment(Strings& env, const std::string& assignment) {
  const std::string prefix = assignment.substr(0, assignment.find('=')) + "=";
  for (std::string& known : env) {
    if (known.starts_with(prefix)) {
      known = assignment;
      return;
    }
  }
  env.Add(std::string(assignment));
}

// A bare NAME copies the caller's value; a NAME the caller does not have is left out, as in Docker.
Status add_env(ServiceSpec& spec, const std::string& value, const FlagWorld& world) {
  SKEP_TRY(parse_pair(value));
  if (value.find('=') != std::string::npos) {
    put_environment(*container(spec).mutable_env(), value);
  } else if (const auto it = world.environment.find(value); it != world.environment.end()) {
    put_environment(*container(spec).mutable_env(), value + "=" + it->second);
  }
  return ok();
}

Status add_env_file(ServiceSpec& spec, const std::string& path, const FlagWorld& world) {
  SKEP_TRY_ASSIGN(const std::string content, world.read_file(path));
  for (std::string line : split(content, '\n')) {
    line.erase(0, line.find_first_not_of(" \t"));
    if (line.ends_with('\r')) {
      line.pop_back();
    }
    if (line.empty() || line.starts_with('#')) {
      continue;
    }
    if (line.substr(0, line.find('=')).find_first_of(" \t") != std::string::npos) {
      return Error{Code::kInvalidArgument,
                   fmt::format("'{}': a name with spaces in line '{}'", path, line)};
    }
    SKEP_TRY(add_env(spec, line, world));
  }
  return ok();
}

Status remove_env(ServiceSpec& spec, const std::string& name, const FlagWorld& /*world*/) {
  auto& env = *container(spec).mutable_env();
  env.erase(
      std::remove_if(env.begin(), env.end(),
                     [&](const std::string& one) { return one.substr(0, one.find('=')) == name; }),
      env.end());
  return ok();
}

Status put_label(Labels& labels, const std::string& value) {
  SKEP_TRY_ASSIGN(auto pair, parse_pair(value));
  labels[pair.first] = pair.second;
  return ok();
}
Status add_label(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  return put_label(*spec.mutable_labels(), value);
}
Status remove_label(ServiceSpec& spec, const std::string& key, const FlagWorld& /*world*/) {
  spec.mutable_labels()->erase(key);
  return ok();
}
Status add_container_label(ServiceSpec& spec, const std::string& value,
                           const FlagWorld& /*world*/) {
  return put_label(*container(spec).mutable_labels(), value);
}
Status remove_container_label(ServiceSpec& spec, const std::string& key,
                              const FlagWorld& /*world*/) {
  container(spec).mutable_labels()->erase(key);
  return ok();
}
Status add_sysctl(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  return put_label(*container(spec).mutable_sysctls(), value);
}
Status remove_sysctl(ServiceSpec& spec, const std::string& key, const FlagWorld& /*world*/) {
  container(spec).mutable_sysctls()->erase(key);
  return ok();
}

Status add_mount(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(*container(spec).add_mounts(), parse_mount(value));
  return ok();
}
// A mount of the service at this target is replaced; two of one command are refused before.
Status add_or_change_mount(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const model::v1::Mount mount, parse_mount(value));
  for (auto& known : *container(spec).mutable_mounts()) {
    if (known.target() == mount.target()) {
      known = mount;
      return ok();
    }
  }
  *container(spec).add_mounts() = mount;
  return ok();
}
Status remove_mount(ServiceSpec& spec, const std::string& target, const FlagWorld& /*world*/) {
  auto& mounts = *container(spec).mutable_mounts();
  mounts.erase(std::remove_if(mounts.begin(), mounts.end(),
                              [&](const auto& m) { return m.target() == target; }),
               mounts.end());
  return ok();
}

template <Strings* (ContainerSpec::*Field)()>
Status add_to(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  Strings& list = *(container(spec).*Field)();
  if (std::find(list.begin(), list.end(), value) == list.end()) {
    list.Add(std::string(value));
  }
  return ok();
}
template <Strings* (ContainerSpec::*Field)()>
Status remove_from(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  Strings& list = *(container(spec).*Field)();
  list.erase(std::remove(list.begin(), list.end(), value), list.end());
  return ok();
}

// "CAP_NET_ADMIN" and "net_admin" are the same; "ALL" stays.
std::string capability(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name == "ALL" || name.starts_with("CAP_") ? name : "CAP_" + name;
}
Status add_capability(ServiceSpec& spec, const std::string& value, const FlagWorld& world) {
  SKEP_TRY(remove_from<&ContainerSpec::mutable_capability_drop>(spec, capability(value), world));
  return add_to<&ContainerSpec::mutable_capability_add>(spec, capability(value), world);
}
// Applied before --cap-add: a capability in both lists is added, as in Docker.
Status drop_capability(ServiceSpec& spec, const std::string& value, const FlagWorld& world) {
  SKEP_TRY(remove_from<&ContainerSpec::mutable_capability_add>(spec, capability(value), world));
  return add_to<&ContainerSpec::mutable_capability_drop>(spec, capability(value), world);
}

Status remove_ulimit(ServiceSpec& spec, const std::string& name, const FlagWorld& /*world*/) {
  auto& limits = *container(spec).mutable_ulimits();
  limits.erase(
      std::remove_if(limits.begin(), limits.end(), [&](const auto& l) { return l.name() == name; }),
      limits.end());
  return ok();
}
Result<std::int64_t> parse_limit(const std::string& text) {
  if (text == "-1" || text == "unlimited") {
    return -1;
  }
  SKEP_TRY_ASSIGN(const std::uint64_t number, parse_count(text));
  return static_cast<std::int64_t>(number);
}
Status add_ulimit(ServiceSpec& spec, const std::string& value, const FlagWorld& world) {
  SKEP_TRY_ASSIGN(const auto pair, parse_pair(value));
  const std::size_t colon = pair.second.find(':');
  model::v1::Ulimit limit;
  limit.set_name(pair.first);
  const auto given_soft = parse_limit(pair.second.substr(0, colon));
  const auto given_hard =
      colon == std::string::npos ? given_soft : parse_limit(pair.second.substr(colon + 1));
  if (!given_soft || !given_hard) {
    return Error{Code::kInvalidArgument,
                 fmt::format("'{}' is not NAME=SOFT[:HARD] with whole numbers or 'unlimited', for example nofile=1024:2048",
                             value)};
  }
  const std::int64_t soft = *given_soft;
  const std::int64_t hard = *given_hard;
  if (hard >= 0 && (soft > hard || soft < 0)) {
    return Error{Code::kInvalidArgument,
                 fmt::format("'{}': the soft limit is above the hard limit", value)};
  }
  limit.set_soft(soft);
  limit.set_hard(hard);
  SKEP_TRY(remove_ulimit(spec, pair.first, world));
  *container(spec).add_ulimits() = limit;
  return ok();
}

constexpr auto kAdd = EditPhase::kAdd;
constexpr auto kRemove = EditPhase::kRemove;
constexpr auto kCreate = FlagUse::kCreate;
constexpr auto kUpdate = FlagUse::kUpdate;

constexpr std::array kLists{
    ServiceFlag{"--env-file", "file", "Read environment variables from a file", kCreate,
                EditPhase::kSet, true, add_env_file},
    ServiceFlag{"--env,-e", "list", "Set an environment variable", kCreate, kAdd, true, add_env},
    ServiceFlag{"--env-add", "list", "Add or change an environment variable", kUpdate, kAdd, true,
                add_env},
    ServiceFlag{"--env-rm", "list", "Remove an environment variable", kUpdate, kRemove, true,
                remove_env},
    ServiceFlag{"--label,-l", "list", "Label of the service", kCreate, kAdd, true, add_label},
    ServiceFlag{"--label-add", "list", "Add or change a label of the service", kUpdate, kAdd, true,
                add_label},
    ServiceFlag{"--label-rm", "list", "Remove a label by its key", kUpdate, kRemove, true,
                remove_label},
    ServiceFlag{"--container-label", "list", "Label of the containers", kCreate, kAdd, true,
                add_container_label},
    ServiceFlag{"--container-label-add", "list", "Add or change a label of the containers", kUpdate,
                kAdd, true, add_container_label},
    ServiceFlag{"--container-label-rm", "list", "Remove a label of the containers by its key",
                kUpdate, kRemove, true, remove_container_label},
    ServiceFlag{"--mount", "mount", "Attach a file system: type=,source=,target=,...", kCreate,
                kAdd, true, add_mount},
    ServiceFlag{"--mount-add", "mount", "Add or change a mount", kUpdate, kAdd, true,
                add_or_change_mount},
    ServiceFlag{"--mount-rm", "list", "Remove a mount by its target path", kUpdate, kRemove, true,
                remove_mount},
    ServiceFlag{"--sysctl", "list", "Set a kernel parameter of the containers", kCreate, kAdd, true,
                add_sysctl},
    ServiceFlag{"--sysctl-add", "list", "Add or change a kernel parameter", kUpdate, kAdd, true,
                add_sysctl},
    ServiceFlag{"--sysctl-rm", "list", "Remove a kernel parameter", kUpdate, kRemove, true,
                remove_sysctl},
    ServiceFlag{"--ulimit", "ulimit", "Resource limit: NAME=SOFT[:HARD]", kCreate, kAdd, true,
                add_ulimit},
    ServiceFlag{"--ulimit-add", "ulimit", "Add or change a resource limit", kUpdate, kAdd, true,
                add_ulimit},
    ServiceFlag{"--ulimit-rm", "list", "Remove a resource limit", kUpdate, kRemove, true,
                remove_ulimit},
    ServiceFlag{"--group", "list", "Additional group of the containers' user", kCreate, kAdd, true,
                add_to<&ContainerSpec::mutable_groups>},
    ServiceFlag{"--group-add", "list", "Add a group", kUpdate, kAdd, true,
                add_to<&ContainerSpec::mutable_groups>},
    ServiceFlag{"--group-rm", "list", "Remove a group", kUpdate, kRemove, true,
                remove_from<&ContainerSpec::mutable_groups>},
    ServiceFlag{"--cap-add", "list", "Add a capability", FlagUse::kBoth, kAdd, true,
                add_capability},
    ServiceFlag{"--cap-drop", "list", "Drop a capability", FlagUse::kBoth, EditPhase::kSet, true,
                drop_capability},
};

}  // namespace

std::span<const ServiceFlag> container_list_flags() {
  return kLists;
}

}  // namespace skep::ctl
