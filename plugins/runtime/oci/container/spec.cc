#include "plugins/runtime/oci/container/spec.h"

#include <array>
#include <boost/json.hpp>
#include <map>

#include "plugins/runtime/oci/container/process_args.h"
#include "plugins/runtime/oci/container/seccomp.h"
#include "plugins/runtime/oci/container/spec_mounts.h"

namespace skep::oci {
namespace {

namespace json = boost::json;

json::array strings(const std::vector<std::string>& list) {
  json::array out;
  for (const std::string& text : list) {
    out.emplace_back(text);
  }
  return out;
}

json::object user_entry(const User& user) {
  json::object out{{"uid", user.uid}, {"gid", user.gid}};
  json::array groups;
  for (const std::uint32_t gid : user.groups) {
    groups.emplace_back(gid);
  }
  if (!groups.empty()) {
    out["additionalGids"] = std::move(groups);
  }
  return out;
}

/// As Docker: a process that is not root keeps nothing across execve, but its children may regain
/// what the bounding set holds through set-uid files.
json::object capability_sets(const std::vector<std::string>& names, bool root) {
  const json::array list = strings(names);
  json::object out{{"bounding", list}};
  if (root) {
    out["effective"] = list;
    out["permitted"] = list;
  }
  return out;
}

Result<json::array> rlimits(const model::v1::ContainerSpec& spec) {
  static const std::map<std::string, const char*> kNames{
      {"as", "RLIMIT_AS"},           {"core", "RLIMIT_CORE"},       {"cpu", "RLIMIT_CPU"},
      {"data", "RLIMIT_DATA"},       {"fsize", "RLIMIT_FSIZE"},     {"locks", "RLIMIT_LOCKS"},
      {"memlock", "RLIMIT_MEMLOCK"}, {"msgqueue", "RLIMIT_MSGQUEUE"}, {"nice", "RLIMIT_NICE"},
      {"nofile", "RLIMIT_NOFILE"},   {"nproc", "RLIMIT_NPROC"},     {"rss", "RLIMIT_RSS"},
      {"rtprio", "RLIMIT_RTPRIO"},   {"rttime", "RLIMIT_RTTIME"},   {"sigpending", "RLIMIT_SIGPENDING"},
      {"stack", "RLIMIT_STACK"}};
  json::array out;
  for (const auto& ulimit : spec.ulimits()) {
    const auto name = kNames.find(ulimit.name());
    if (name == kNames.end()) {
      return Error{Code::kInvalidArgument,
                   "unknown ulimit '" + ulimit.name() + "': use one such as nofile, nproc or core",
                   "BAD_ULIMIT"};
    }
    const bool soft_unlimited = ulimit.soft() < 0;
    const bool hard_unlimited = ulimit.hard() < 0;
    if (!hard_unlimited && (soft_unlimited || ulimit.soft() > ulimit.hard())) {
      return Error{Code::kInvalidArgument,
                   "ulimit '" + ulimit.name() + "': the soft limit is above the hard limit",
                   "BAD_ULIMIT"};
    }
    out.push_back(json::object{{"type", name->second},
                               {"soft", static_cast<std::uint64_t>(ulimit.soft())},
                               {"hard", static_cast<std::uint64_t>(ulimit.hard())}});
  }
  return out;
}

Result<json::object> process(const SpecInput& input, const std::vector<std::string>& capabilities) {
  const auto& spec = input.request.spec();
  SKEP_TRY_ASSIGN(std::vector<std::string> args, resolve_args(spec, input.image));
  SKEP_TRY_ASSIGN(const std::string directory, resolve_directory(spec, input.image));
  SKEP_TRY_ASSIGN(json::array limits, rlimits(spec));
  if (spec.init()) {
    if (input.machine.init_path.empty()) {
      return Error{Code::kFailedPrecondition,
                   "the service wants an init process but this node has none: install the package "
                   "'catatonit' or leave out --init",
                   "INIT_MISSING"};
    }
    args.insert(args.begin(), {"/dev/init", "--"});
  }
  std::vector<std::string> env = resolve_env(spec, input.image, input.hostname);
  bool has_home = false;
  for (const std::string& variable : env) {
    has_home = has_home || variable.starts_with("HOME=");
  }
  if (!has_home) {
    env.push_back("HOME=" + input.user.home);
  }
  json::object out{{"terminal", spec.tty()},
                   {"user", user_entry(input.user)},
                   {"args", strings(args)},
                   {"env", strings(env)},
                   {"cwd", directory},
                   {"capabilities", capability_sets(capabilities, input.user.uid == 0)},
                   {"oomScoreAdj", spec.oom_score_adj()}};
  if (!limits.empty()) {
    out["rlimits"] = std::move(limits);
  }
  return out;
}

json::array namespaces(const SpecInput& input) {
  json::array out;
  for (const char* type : {"mount", "uts", "pid", "ipc"}) {
    out.push_back(json::object{{"type", type}});
  }
  if (!input.request.sandbox().empty()) {
    out.push_back(json::object{{"type", "network"}, {"path", input.request.sandbox()}});
  }
  if (input.machine.cgroup_unified) {
    out.push_back(json::object{{"type", "cgroup"}});
  }
  return out;
}

/// Everything is denied but what a program needs; the OCI runtime makes the default nodes.
json::array device_rules() {
  const auto rule = [](const char* type, int major, int minor, const char* access) {
    json::object out{{"allow", true}, {"type", type}, {"access", access}};
    if (major >= 0) {
      out["major"] = major;
    }
    if (minor >= 0) {
      out["minor"] = minor;
    }
    return out;
  };
  json::array rules{json::object{{"allow", false}, {"access", "rwm"}}};
  rules.push_back(rule("c", -1, -1, "m"));  // mknod of what cannot be opened harms nobody
  rules.push_back(rule("b", -1, -1, "m"));
  for (const auto& [major, minor] : std::initializer_list<std::pair<int, int>>{
           {1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}, {136, -1}}) {
    rules.push_back(rule("c", major, minor, "rwm"));
  }
  return rules;
}

json::array masked_paths(const SpecInput& input) {
  json::array out;
  for (const char* path :
       {"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"}) {
    out.emplace_back(path);
  }
  for (const std::string& path : input.masked_paths) {
    out.emplace_back(path);
  }
  return out;
}

Result<json::object> sysctls(const SpecInput& input) {
  json::object out;
  for (const auto& [name, value] : std::map<std::string, std::string>(
           input.request.spec().sysctls().begin(), input.request.spec().sysctls().end())) {
    const bool of_network = name.starts_with("net.");
    const bool of_ipc = name.starts_with("fs.mqueue.") || name.starts_with("kernel.msg") ||
                        name.starts_with("kernel.sem") || name.starts_with("kernel.shm");
    if (!of_network && !of_ipc) {
      return Error{Code::kInvalidArgument,
                   "sysctl '" + name + "' is not separate per container: only net.*, fs.mqueue.*, "
                   "kernel.msg*, kernel.sem* and kernel.shm* are",
                   "BAD_SYSCTL"};
    }
    if (of_network && input.request.sandbox().empty()) {
      return Error{Code::kInvalidArgument,
                   "sysctl '" + name + "' cannot be set on the host network: it would change the node",
                   "BAD_SYSCTL"};
    }
    out[name] = value;
  }
  return out;
}

Result<json::object> linux_part(const SpecInput& input,
                                const std::vector<std::string>& capabilities) {
  SKEP_TRY_ASSIGN(json::object resources,
                  cgroup_resources(input.request.resources(), input.machine.limits));
  SKEP_TRY_ASSIGN(json::object settings, sysctls(input));
  resources["devices"] = device_rules();
  json::object out{{"cgroupsPath", input.cgroups_path},
                   {"namespaces", namespaces(input)},
                   {"resources", std::move(resources)},
                   {"maskedPaths", masked_paths(input)},
                   {"readonlyPaths", json::array{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                 "/proc/sysrq-trigger"}}};
  if (!settings.empty()) {
    out["sysctl"] = std::move(settings);
  }
  for (const auto& bind : input.request.binds()) {
    // Shared mounts need a root that lets them through.
    if (bind.propagation() == "shared" || bind.propagation() == "rshared") {
      out["rootfsPropagation"] = "rshared";
    } else if (bind.propagation().ends_with("slave") && !out.contains("rootfsPropagation")) {
      out["rootfsPropagation"] = "rslave";
    }
  }
  if (input.machine.seccomp) {
    SKEP_TRY_ASSIGN(json::object filter, seccomp_filter(default_seccomp_rules(), capabilities,
                                                        input.machine.architecture));
    out["seccomp"] = std::move(filter);
  }
  return out;
}

}  // namespace

Result<std::string> build_spec(const SpecInput& input) {
  const auto& spec = input.request.spec();
  SKEP_TRY_ASSIGN(
      const std::vector<std::string> capabilities,
      resolve_capabilities({spec.capability_add().begin(), spec.capability_add().end()},
                           {spec.capability_drop().begin(), spec.capability_drop().end()},
                           input.machine.capabilities));
  SKEP_TRY_ASSIGN(json::object process_part, process(input, capabilities));
  SKEP_TRY_ASSIGN(json::array mounts, build_mounts(input));
  SKEP_TRY_ASSIGN(json::object for_linux, linux_part(input, capabilities));
  if (spec.init()) {
    mounts.push_back(json::object{{"destination", "/dev/init"},
                                  {"type", "bind"},
                                  {"source", input.machine.init_path},
                                  {"options", json::array{"bind", "ro"}}});
  }
  json::object out{{"ociVersion", "1.0.2"},
                   {"process", std::move(process_part)},
                   {"root", json::object{{"path", input.rootfs_path},
                                         {"readonly", spec.read_only() || input.root_read_only}}},
                   {"hostname", input.hostname},
                   {"mounts", std::move(mounts)},
                   {"linux", std::move(for_linux)}};
  return json::serialize(out);
}

Result<std::string> build_exec_process(const std::string& config, const ExecProcess& wanted) {
  boost::system::error_code error;
  const json::value parsed = json::parse(config, error);
  const json::object* root = error ? nullptr : parsed.if_object();
  const json::value* found = root == nullptr ? nullptr : root->if_contains("process");
  if (found == nullptr || !found->is_object()) {
    return Error{Code::kDataLoss, "the container's config.json is damaged", "DAMAGED_BUNDLE"};
  }
  json::object process_part = found->get_object();
  process_part["args"] = strings(wanted.args);
  process_part["terminal"] = wanted.tty;
  if (json::value* env = process_part.if_contains("env"); env != nullptr && env->is_array()) {
    if (wanted.tty) {
      env->get_array().emplace_back("TERM=xterm");
    }
    if (wanted.user_given) {
      auto& list = env->get_array();
      for (auto it = list.begin(); it != list.end();) {
        it = it->is_string() && it->get_string().starts_with("HOME=") ? list.erase(it) : it + 1;
      }
      list.emplace_back("HOME=" + wanted.user.home);
    }
    for (const std::string& variable : wanted.env) {
      env->get_array().emplace_back(variable);
    }
  }
  if (!wanted.directory.empty()) {
    process_part["cwd"] = wanted.directory;
  }
  if (wanted.user_given) {
    process_part["user"] = user_entry(wanted.user);
    std::vector<std::string> capabilities;
    if (json::value* bounding = process_part["capabilities"].is_object()
                                    ? process_part["capabilities"].get_object().if_contains("bounding")
                                    : nullptr;
        bounding != nullptr && bounding->is_array()) {
      for (const json::value& name : bounding->get_array()) {
        if (name.is_string()) {
          capabilities.emplace_back(name.get_string());
        }
      }
    }
    process_part["capabilities"] = capability_sets(capabilities, wanted.user.uid == 0);
  }
  return json::serialize(process_part);
}

}  // namespace skep::oci
