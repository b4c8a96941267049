#include "core/agentctl/doctor/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/model/units.h"

namespace skep::ctl {
namespace {

constexpr std::int64_t kSlowSync = 10'000'000;  // 10 ms: every commit of the log waits this long
constexpr std::int64_t kTooSlowSync = 100'000'000;  // 100 ms: elections time out under load
constexpr std::uint64_t kLowSpace = std::uint64_t{2} << 30;
constexpr std::uint64_t kNoSpace = std::uint64_t{256} << 20;
constexpr std::uint64_t kOpenFiles = 65536;

bool has(const std::vector<std::string>& list, std::string_view wanted) {
  return std::find(list.begin(), list.end(), wanted) != list.end();
}

Finding finding(std::string check, bool good, Verdict otherwise, std::string detail,
                std::string advice) {
  return {std::move(check), good ? Verdict::kOk : otherwise, std::move(detail),
          good ? "" : std::move(advice)};
}

void judge_kernel(const MachineFacts& facts, std::vector<Finding>& out) {
  out.push_back({"kernel", Verdict::kOk, facts.kernel});
  out.push_back(finding(
      "overlayfs", has(facts.filesystems, "overlay"), Verdict::kBad,
      has(facts.filesystems, "overlay") ? "available" : "the kernel does not offer it (yet)",
      "load it with 'modprobe overlay': images are mounted with it"));
  std::string missing;
  for (const char* name : {"mnt", "net", "pid", "ipc", "uts"}) {
    missing +=
        has(facts.namespaces, name) ? "" : fmt::format("{}{}", missing.empty() ? "" : ", ", name);
  }
  out.push_back(finding("namespaces", missing.empty(), Verdict::kBad,
                        missing.empty() ? "mnt, net, pid, ipc, uts" : "missing: " + missing,
                        "use a kernel with CONFIG_NAMESPACES and all its kinds"));
  std::string controllers;
  for (const char* name : {"memory", "cpu", "pids"}) {
    controllers += has(facts.cgroup_controllers, name)
                       ? ""
                       : fmt::format("{}{}", controllers.empty() ? "" : ", ", name);
  }
  out.push_back(finding(
      "cgroups", !facts.cgroup_version.empty() && controllers.empty(),
      facts.cgroup_version.empty() ? Verdict::kBad : Verdict::kWarning,
      facts.cgroup_version.empty()
          ? "not mounted"
          : fmt::format("version {}{}", facts.cgroup_version,
                        controllers.empty() ? "" : ", missing: " + controllers),
      "mount /sys/fs/cgroup and boot with these controllers, else limits of tasks do not hold"));
  out.push_back(finding(
      "seccomp", facts.seccomp, Verdict::kWarning,
      facts.seccomp ? "available" : "not in this kernel",
      "containers run without a system call filter; use a kernel with CONFIG_SECCOMP_FILTER"));
}

// Bridges and tunnels are asked for by making one: root does it, with two programs.
Finding unasked(const char* check, const MachineFacts& facts) {
  if (!facts.root_user) {
    return {check, Verdict::kWarning, "could not be asked: only root can", "run doctor as root"};
  }
  for (const auto& [program, package] : {std::pair{"unshare", "util-linux"}, std::pair{"ip", "iproute2"}}) {
    const auto found = facts.tools.find(program);
    if (found == facts.tools.end() || found->second.empty()) {
      return {check, Verdict::kWarning,
              fmt::format("could not be asked: the program '{}' is not in PATH", program),
              fmt::format("install the package '{}', or add the directory of '{}' to PATH", package, program)};
    }
  }
  return {check, Verdict::kWarning, "could not be asked: " + facts.devices_error,
          "run doctor where network namespaces can be made, as agentd needs them too"};
}

void judge_network(const MachineFacts& facts, std::vector<Finding>& out) {
  const auto feature = [&](const char* name, const std::optional<bool>& there, const char* advice) {
    out.push_back(!there
                      ? unasked(name, facts)
                      : finding(name, *there, Verdict::kBad,
                                *there ? "available" : "not in this kernel", advice));
  };
  feature("nftables", facts.nftables, "published ports need it: load it with 'modprobe nf_tables'");
  feature("bridge", facts.bridge, "networks of tasks need it: load it with 'modprobe bridge veth'");
  feature("vxlan", facts.vxlan, "networks between nodes need it: load it with 'modprobe vxlan'");
  if (facts.ip_forward) {
    out.push_back(finding(
        "ip forwarding", *facts.ip_forward, Verdict::kWarning, *facts.ip_forward ? "on" : "off",
        "agentd turns it on where it may; else 'sysctl -w net.ipv4.ip_forward=1'"));
  }
  for (const PortFact& port : facts.ports) {
    out.push_back(
        finding("port " + port.name, port.error.empty() || facts.agent_answers, Verdict::kWarning,
                port.error.empty()    ? fmt::format("free ({})", port.purpose)
                : facts.agent_answers ? fmt::format("in use ({}), an agent runs here", port.purpose)
                                      : fmt::format("{} ({})", port.error, port.purpose),
                "end what listens there, or choose another port in agentd.toml"));
  }
}

void judge_tools(const MachineFacts& facts, std::vector<Finding>& out) {
  struct Tool {
    const char* name;
    const char* purpose;
    Verdict when_missing;
  };
  constexpr Tool kTools[] = {
      {"catatonit", "is the init process of services with --init", Verdict::kWarning},
      {"conmon", "watches over each container", Verdict::kBad},
      {"runc", "runs containers", Verdict::kBad},
      {"skopeo", "fetches images", Verdict::kBad}};
  for (const Tool& tool : kTools) {
    const auto found = facts.tools.find(tool.name);
    const bool there = found != facts.tools.end() && !found->second.empty();
    out.push_back(finding(tool.name, there, tool.when_missing,
                          there ? found->second : fmt::format("not in PATH: it {}", tool.purpose),
                          fmt::format("install the package '{}'", tool.name)));
  }
}

void judge_disk(const MachineFacts& facts, std::vector<Finding>& out) {
  out.push_back(finding("state directory", facts.state_error.empty(), Verdict::kBad,
                        facts.state_error.empty() ? facts.state_directory : facts.state_error,
                        facts.root_user ? "make the file system writable"
                                        : "run doctor as the user that runs agentd (root)"));
  if (!facts.sync_ns.empty()) {
    std::vector<std::int64_t> times = facts.sync_ns;
    std::sort(times.begin(), times.end());
    const std::int64_t median = times[times.size() / 2];
    const auto text = [](std::int64_t ns) {
      return fmt::format("{:.2f} ms", static_cast<double>(ns) / 1e6);
    };
    out.push_back(finding(
        "disk sync", median < kSlowSync, median < kTooSlowSync ? Verdict::kWarning : Verdict::kBad,
        fmt::format("median {}, worst {} of {}", text(median), text(times.back()), times.size()),
        "put the state directory of managers on a faster disk (SSD): every change waits for it"));
  }
  if (facts.free_bytes) {
    out.push_back(finding(
        "free space", *facts.free_bytes >= kLowSpace,
        *facts.free_bytes < kNoSpace ? Verdict::kBad : Verdict::kWarning,
        model::print_bytes(static_cast<std::int64_t>(*facts.free_bytes)),
        "free some: images and volumes live there ('agentctl image ls', 'agentctl volume prune')"));
  }
  out.push_back(finding("open files", facts.open_files_max >= kOpenFiles, Verdict::kWarning,
                        fmt::format("limit {}", facts.open_files_max),
                        "raise it for many tasks: LimitNOFILE=1048576 in agentd's unit"));
}

// The same words as in 'agentctl info'.
Finding judge_swarm(const MachineFacts& facts) {
  if (!facts.swarm_error.empty()) {
    return {"swarm", Verdict::kBad, facts.swarm_error, "docs/recovery.md has the ways out; tasks run on meanwhile"};
  }
  if (facts.swarm_state == "locked") {
    return {"swarm", Verdict::kBad, "this manager is locked and takes no part", "open it: 'agentctl swarm unlock'"};
  }
  return {"swarm", Verdict::kOk,
          facts.swarm_state == "inactive" ? "this node is in none" : facts.swarm_state};
}

}  // namespace

std::vector<Finding> judge(const MachineFacts& facts) {
  std::vector<Finding> out;
  out.push_back(finding("user", facts.root_user, Verdict::kWarning,
                        facts.root_user ? "root" : "not root",
                        "some checks need root, as agentd does"));
  judge_kernel(facts, out);
  judge_network(facts, out);
  judge_tools(facts, out);
  judge_disk(facts, out);
  out.push_back(finding("agent", facts.agent_answers, Verdict::kWarning,
                        facts.agent_answers ? "answers" : facts.agent_error,
                        "start it with 'agentd', or name its --root"));
  if (facts.agent_answers) {
    out.push_back(judge_swarm(facts));
  }
  for (const std::string& warning : facts.agent_warnings) {
    if (warning != facts.swarm_error) {
      out.push_back({"agent", Verdict::kWarning, warning, "the same as in 'agentctl info', until it is over"});
    }
  }
  return out;
}

}  // namespace skep::ctl
