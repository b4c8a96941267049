#include "core/model/validate_task.h"

#include <arpa/inet.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "core/model/constraint.h"
#include "core/model/defaults.h"
#include "core/model/image_ref.h"
#include "core/model/kernel_names.h"
#include "core/model/names.h"
#include "core/model/units.h"
#include "core/model/validate.h"

namespace skep::model {

namespace {

Error invalid(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message), "INVALID_SPEC"};
}

Status validate_env(const v1::ContainerSpec& spec) {
  for (const std::string& entry : spec.env()) {
    const std::size_t equals = entry.find('=');
    if (entry.empty() || equals == 0 || entry.find('\0') != std::string::npos) {
      return invalid("environment entry '" + entry.substr(0, equals) +
                     "' is invalid: write NAME=VALUE");
    }
  }
  return ok();
}

Status validate_health(const v1::HealthCheck& check) {
  struct Named {
    std::string_view name;
    std::int64_t value;
  };
  const std::array<Named, 4> durations = {{{"health-interval", check.interval()},
                                           {"health-timeout", check.timeout()},
                                           {"health-start-period", check.start_period()},
                                           {"health-start-interval", check.start_interval()}}};
  for (const Named& duration : durations) {
    if (duration.value != 0 && Duration(duration.value) < kHealthDurationMin) {
      return invalid(std::string(duration.name) + " cannot be less than 1ms");
    }
  }
  if (check.test_size() > 0) {
    const std::string& kind = check.test(0);
    if (kind != "NONE" && kind != "CMD" && kind != "CMD-SHELL") {
      return invalid("health check test '" + kind + "' is unknown: use NONE, CMD or CMD-SHELL");
    }
    if (kind != "NONE" && check.test_size() < 2) {
      return invalid("health check has no command: add one after " + kind);
    }
  }
  return ok();
}

Status validate_files(const v1::ContainerSpec& spec) {
  std::set<std::string> targets;
  for (const v1::FileReference& secret : spec.secrets()) {
    if (secret.name().empty()) {
      return invalid("malformed secret reference: the name is missing");
    }
    if (!targets.insert("s:" + (secret.target().empty() ? secret.name() : secret.target())).second) {
      return invalid("secret target '" + secret.target() + "' is used twice: give each its own");
    }
  }
  for (const v1::FileReference& config : spec.configs()) {
    if (config.name().empty()) {
      return invalid("malformed config reference: the name is missing");
    }
    if (!targets.insert("c:" + (config.target().empty() ? config.name() : config.target())).second) {
      return invalid("config target '" + config.target() + "' is used twice: give each its own");
    }
  }
  return ok();
}

// `text` as its shape is judged where a node still fills in {{...}}: two letters for each placeholder.
// What it becomes is judged again by the driver.
std::string filled_in(std::string_view text) {
  std::string shape;
  for (;;) {
    const auto open = text.find("{{");
    const auto close = open == std::string_view::npos ? open : text.find("}}", open);
    shape += text.substr(0, close == std::string_view::npos ? close : open);
    if (close == std::string_view::npos) {
      return shape;
    }
    shape += "xx";
    text.remove_prefix(close + 2);
  }
}

bool is_address(const std::string& text) {
  in6_addr scratch{};
  return ::inet_pton(AF_INET, text.c_str(), &scratch) == 1 || ::inet_pton(AF_INET6, text.c_str(), &scratch) == 1;
}

Status validate_addresses(const v1::ContainerSpec& spec) {
  for (const std::string& server : spec.dns_servers()) {
    if (!is_address(server)) {
      return invalid("DNS server '" + server + "' is not an IP address");
    }
  }
  for (const std::string& line : spec.hosts()) {  // "IP name", a line of /etc/hosts
    if (const std::string address = line.substr(0, line.find(' ')); !is_address(address)) {
      return invalid("extra host '" + line + "' is invalid: '" + address + "' is not an IP address");
    }
  }
  return ok();
}

Status validate_kernel_wishes(const v1::ContainerSpec& spec) {
  if (!spec.stop_signal().empty()) {
    SKEP_TRY(validate_stop_signal(spec.stop_signal()));
  }
  for (const auto* names : {&spec.capability_add(), &spec.capability_drop()}) {
    for (const std::string& name : *names) {
      SKEP_TRY(validate_capability(name));
    }
  }
  for (const v1::Ulimit& limit : spec.ulimits()) {
    SKEP_TRY(validate_ulimit_name(limit.name()));
    if (limit.hard() >= 0 && (limit.soft() < 0 || limit.soft() > limit.hard())) {
      return invalid("ulimit '" + limit.name() + "' is invalid: write NAME=SOFT[:HARD] with " +
                     "SOFT at most HARD");
    }
  }
  for (const auto& [key, value] : spec.sysctls()) {
    SKEP_TRY(validate_sysctl(key, value));
  }
  return ok();
}

/// A name with a template has its length on the node only.
Status validate_hostname(const std::string& name) {
  constexpr std::size_t kHostnameMax = 64;  // sethostname(2)
  if (name.size() > kHostnameMax && name.find("{{") == std::string::npos) {
    return invalid("hostname '" + name + "' is too long: use at most 64 characters");
  }
  return ok();
}

/// On the network `host` they would be the node's own.
Status validate_network_sysctls(const v1::TaskSpec& spec) {
  const auto& networks = spec.networks();
  if (std::none_of(networks.begin(), networks.end(),
                   [](const v1::NetworkAttachmentSpec& network) { return network.target() == "host"; })) {
    return ok();
  }
  for (const auto& [key, value] : spec.container().sysctls()) {
    if (key.starts_with("net.")) {
      return invalid("sysctl '" + key + "' would change the node itself on the network 'host': "
                     "set it on the node, or choose another network");
    }
  }
  return ok();
}

Status validate_mount(const v1::Mount& mount) {
  if (mount.target().empty() || mount.target().front() != '/') {
    return invalid("mount target '" + mount.target() + "' is invalid: it must be an absolute path");
  }
  if (mount.target().find("/../") != std::string::npos || mount.target().ends_with("/..")) {
    return invalid("mount target '" + mount.target() + "' is invalid: it must not contain '..'");
  }
  switch (static_cast<int>(mount.type())) {
    case v1::Mount::BIND:
      if (mount.source().empty() || mount.source().front() != '/') {
        return invalid("invalid bind mount source '" + mount.source() +
                       "', must be an absolute path");
      }
      return ok();
    case v1::Mount::TMPFS:
      if (!mount.source().empty()) {
        return invalid("invalid tmpfs source '" + mount.source() + "', source must be empty");
      }
      if (mount.tmpfs_size_bytes() < 0) {
        return invalid("tmpfs-size cannot be negative");
      }
      return ok();
    case v1::Mount::VOLUME:
      if (!mount.source().empty() && mount.source().front() == '/') {
        return invalid("invalid volume mount source '" + mount.source() +
                       "', must not be an absolute path: use type=bind for a path");
      }
      return mount.source().empty() ? ok() : validate_volume_name(filled_in(mount.source()));
    default: return invalid("mount type is unknown: use volume, bind or tmpfs");
  }
}

}  // namespace

std::string deterministic_bytes(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

Status validate_container(const v1::ContainerSpec& spec, bool needs_image) {
  if (needs_image && spec.image().empty()) {
    return invalid("image is missing: name the image that the tasks run");
  }
  if (!spec.image().empty()) {
    SKEP_TRY(parse_image_ref(spec.image()));
  } else if (spec.command().empty() && spec.args().empty()) {
    return invalid("command is missing: the process runtime has no image, so name a program");
  }
  if (spec.stop_grace() < 0) {
    return invalid("stop-grace-period cannot be negative");
  }
  constexpr int kOomScoreMax = 1000;
  if (spec.oom_score_adj() < -kOomScoreMax || spec.oom_score_adj() > kOomScoreMax) {
    return invalid("oom-score-adj must be between -1000 and 1000");
  }
  if (!spec.directory().empty() && spec.directory().front() != '/') {
    return invalid("working directory '" + spec.directory() + "' must be an absolute path");
  }
  SKEP_TRY(validate_hostname(spec.hostname()));
  SKEP_TRY(validate_kernel_wishes(spec));
  SKEP_TRY(validate_env(spec));
  SKEP_TRY(validate_addresses(spec));
  SKEP_TRY(validate_health(spec.health_check()));
  SKEP_TRY(validate_files(spec));
  return validate_mounts(spec);
}

Status validate_mounts(const v1::ContainerSpec& spec) {
  std::set<std::string> targets;
  for (const v1::Mount& mount : spec.mounts()) {
    SKEP_TRY(validate_mount(mount));
    std::string target = mount.target();
    while (target.size() > 1 && target.back() == '/') {
      target.pop_back();
    }
    if (!targets.insert(target).second) {
      return invalid("duplicate mount point: " + mount.target());
    }
  }
  return ok();
}

Status validate_resources(const v1::ResourceRequirements& resources) {
  const auto check = [](const v1::Resources& amounts, std::string_view what) -> Status {
    const std::string prefix(what);
    if (amounts.nano_cpus() != 0 && amounts.nano_cpus() < kReservedNanoCpusMin) {
      return invalid("invalid cpu value for " + prefix + ": " + print_cpus(amounts.nano_cpus()) +
                     ": must be at least 0.001");
    }
    if (amounts.memory_bytes() != 0 && amounts.memory_bytes() < kReservedMemoryMin) {
      return invalid("invalid memory value for " + prefix + ": " +
                     std::to_string(amounts.memory_bytes()) + " bytes: must be at least 4MiB");
    }
    if (amounts.pids() < 0) {
      return invalid("invalid pids value for " + prefix + ": cannot be negative");
    }
    for (const auto& [kind, amount] : amounts.generic()) {
      if (kind.empty() || amount <= 0) {
        return invalid("generic resource '" + kind + "' is invalid: write KIND=NUMBER");
      }
    }
    return ok();
  };
  SKEP_TRY(check(resources.limits(), "limit"));
  SKEP_TRY(check(resources.reservations(), "reservation"));
  const v1::Resources& limits = resources.limits();
  const v1::Resources& reserved = resources.reservations();
  if ((limits.memory_bytes() > 0 && reserved.memory_bytes() > limits.memory_bytes()) ||
      (limits.nano_cpus() > 0 && reserved.nano_cpus() > limits.nano_cpus())) {
    return invalid("reservation is larger than the limit: raise the limit or reserve less");
  }
  if (resources.memory_swap_bytes() < -1) {
    return invalid("memory-swap must be -1 (unlimited) or not negative");
  }
  return ok();
}

Status validate_restart(const v1::RestartPolicy& policy) {
  if (!v1::RestartPolicy::Condition_IsValid(policy.condition())) {
    return invalid("restart condition is unknown: use none, on-failure or any");
  }
  if (policy.has_delay() && policy.delay() < 0) {
    return invalid("restart-delay cannot be negative");
  }
  if (policy.window() < 0) {
    return invalid("restart-window cannot be negative");
  }
  return ok();
}

Status validate_placement(const v1::Placement& placement) {
  SKEP_TRY(parse_constraints(placement.constraints()));
  for (const v1::PlacementPreference& preference : placement.preferences()) {
    if (!spread_value(preference.spread_by(), v1::Node())) {
      return invalid("placement preference '" + preference.spread_by() +
                     "' is invalid: spread over node.labels.NAME or engine.labels.NAME");
    }
  }
  return ok();
}

/// Logs are kept by the runtime, with its own limits; Docker's two names for that are taken.
Status validate_log_driver(const v1::LogDriver& driver) {
  const std::string& name = driver.name();
  if (!name.empty() && name != "json-file" && name != "local") {
    return Error{Code::kUnimplemented,
                 "log driver '" + name + "' is not there: logs are kept on the node for `service logs`; "
                 "leave --log-driver out, or use json-file or local",
                 "NO_LOG_DRIVER"};
  }
  if (!driver.options().empty()) {
    return Error{Code::kUnimplemented,
                 "log option '" + driver.options().begin()->first + "' is not there yet: the settings "
                 "log_size_max and log_files_max of the runtime's plugin hold for all its containers",
                 "NO_LOG_OPTIONS"};
  }
  return ok();
}

Status validate_task_spec(const v1::TaskSpec& spec) {
  SKEP_TRY(validate_container(spec.container(), runtime_driver(spec) != "process"));
  SKEP_TRY(validate_resources(spec.resources()));
  SKEP_TRY(validate_restart(spec.restart()));
  SKEP_TRY(validate_placement(spec.placement()));
  SKEP_TRY(validate_log_driver(spec.log_driver()));
  std::set<std::string> networks;
  for (const v1::NetworkAttachmentSpec& network : spec.networks()) {
    if (network.target().empty()) {
      return invalid("network is missing its name");
    }
    if (!networks.insert(network.target()).second) {
      return invalid("network '" + network.target() + "' is given twice");
    }
  }
  return validate_network_sysctls(spec);
}

}  // namespace skep::model
