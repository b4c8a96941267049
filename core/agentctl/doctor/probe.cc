#include "core/agentctl/doctor/probe.h"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstring>

#include "core/agentctl/context.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/text.h"
#include "skep/agent.methods.h"

namespace skep::ctl {
namespace {

constexpr int kSyncs = 20;
constexpr std::chrono::seconds kToolDeadline{10};

void probe_kernel(Disk& disk, MachineFacts& facts) {
  utsname name{};
  if (uname(&name) == 0) {
    facts.kernel = fmt::format("{} {}", name.sysname, name.release);
  }
  if (const auto text = disk.read_file("/proc/filesystems")) {
    for (const std::string& line : split(*text, '\n')) {
      facts.filesystems.push_back(line.substr(line.find('\t') + 1));
    }
  }
  if (auto names = disk.list_directory("/proc/self/ns")) {
    facts.namespaces = *names;
  }
  facts.seccomp = disk.exists("/proc/sys/kernel/seccomp/actions_avail");
  if (const auto text = disk.read_file("/proc/sys/net/ipv4/ip_forward")) {
    facts.ip_forward = text->starts_with("1");
  }
}

// v2 lists its controllers in one file; v1 (also hybrid) names them in /proc/cgroups with a
// hierarchy that is not 0.
void probe_cgroups(Disk& disk, MachineFacts& facts) {
  if (const auto unified = disk.read_file("/sys/fs/cgroup/cgroup.controllers")) {
    facts.cgroup_version = "2";
    facts.cgroup_controllers = split(unified->substr(0, unified->find('\n')), ' ');
    return;
  }
  facts.cgroup_version = disk.exists("/sys/fs/cgroup/unified")  ? "1 (hybrid)"
                         : disk.exists("/sys/fs/cgroup/memory") ? "1"
                                                                : "";
  if (const auto text = disk.read_file("/proc/cgroups")) {
    for (const std::string& line : split(*text, '\n')) {
      const std::vector<std::string> fields = split(line, '\t');
      if (fields.size() >= 4 && fields[0].front() != '#' && fields[1] != "0" && fields[3] == "1") {
        facts.cgroup_controllers.push_back(fields[0]);
      }
    }
  }
}

std::string try_port(int type, std::uint16_t port) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return std::strerror(errno);
  }
  const int on = 1;
  if (type == SOCK_STREAM) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
               sizeof(on));  // as agentd: TIME_WAIT is no obstacle
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  const bool free = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
                    (type != SOCK_STREAM || listen(fd, 1) == 0);
  const std::string error = free ? "" : std::strerror(errno);
  close(fd);
  return error;
}

void probe_ports(MachineFacts& facts) {
  facts.ports = {{"2377/tcp", "management", try_port(SOCK_STREAM, 2377)},
                 {"7946/tcp", "gossip", try_port(SOCK_STREAM, 7946)},
                 {"7946/udp", "gossip", try_port(SOCK_DGRAM, 7946)},
                 {"4789/udp", "data path", try_port(SOCK_DGRAM, 4789)}};
}

// Devices are made in a network namespace of their own, which the kernel drops with the process.
std::optional<bool> can_make_device(Context& context, MachineFacts& facts,
                                    const std::vector<std::string>& device) {
  const std::string& unshare = facts.tools["unshare"];
  const std::string& ip = facts.tools["ip"];
  if (unshare.empty() || ip.empty() || !facts.root_user) {
    return std::nullopt;
  }
  ProcessSpec spec;
  spec.argv = {unshare, "--net", ip, "link", "add", "skepdoc0", "type"};
  spec.argv.insert(spec.argv.end(), device.begin(), device.end());
  const auto done = context.subprocess.run(spec, kToolDeadline);
  if (!done || done->err.starts_with("unshare:")) {  // it is not the kernel that lacks the device
    facts.devices_error = done ? done->err.substr(0, done->err.find('\n')) : done.error().message;
    return std::nullopt;
  }
  return done->exit_code == 0;
}

std::string find_program(Context& context, const std::string& name) {
  const std::string path =
      context.variable("PATH").empty() ? "/usr/sbin:/usr/bin:/sbin:/bin" : context.variable("PATH");
  for (const std::string& directory : split(path + ":/usr/sbin:/sbin", ':')) {
    const std::string candidate = directory + "/" + name;
    if (!directory.empty() && access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return "";
}

void probe_disk(Context& context, MachineFacts& facts) {
  std::string directory = absolute_path(context.root + "/var/lib/skep");
  facts.state_directory = directory;
  while (!context.disk.exists(directory) && directory.size() > 1) {
    directory.resize(std::max<std::size_t>(1, directory.rfind('/')));
  }
  const std::string path =
      fmt::format("{}/.skep-doctor-{}", directory == "/" ? "" : directory, getpid());
  if (auto free_bytes = context.disk.free_bytes(directory)) {
    facts.free_bytes = *free_bytes;
  }
  auto file = context.disk.open(path, OpenMode::kCreate);
  if (!file) {
    facts.state_error = file.error().message;
    return;
  }
  const std::string block(4096, 's');
  for (int i = 0; i < kSyncs; ++i) {
    const TimePoint start = context.clock.now();
    auto status = (*file)->write(static_cast<std::uint64_t>(i) * block.size(), block);
    status = status ? (*file)->sync() : std::move(status);
    if (!status) {
      facts.state_error = status.error().message;
      break;
    }
    facts.sync_ns.push_back((context.clock.now() - start).count());
  }
  file->reset();
  (void)context.disk.remove(path);
}

}  // namespace

MachineFacts probe_machine(Context& context) {
  MachineFacts facts;
  facts.root_user = geteuid() == 0;
  probe_kernel(context.disk, facts);
  probe_cgroups(context.disk, facts);
  for (const char* name : {"catatonit", "conmon", "ip", "runc", "skopeo", "unshare"}) {
    facts.tools[name] = find_program(context, name);
  }
  const int netfilter = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  facts.nftables = netfilter >= 0 && context.disk.exists("/proc/net/netfilter");
  if (netfilter >= 0) {
    close(netfilter);
  }
  facts.bridge = can_make_device(context, facts, {"bridge"});
  facts.vxlan = can_make_device(context, facts, {"vxlan", "id", "1", "dstport", "4789"});
  probe_ports(facts);
  probe_disk(context, facts);
  rlimit limit{};
  facts.open_files_max = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : 0;
  auto agent = context.agent();
  auto answer = agent ? (*agent)->call<agent::v1::methods::Info>(kCore, {}, std::chrono::seconds(5))
                      : Result<agent::v1::InfoResponse>(agent.error());
  facts.agent_answers = answer.has_value();
  if (answer) {
    facts.swarm_state = answer->swarm_state();
    facts.swarm_error = answer->error();
    facts.agent_warnings.assign(answer->warnings().begin(), answer->warnings().end());
  }
  facts.agent_error =
      answer ? "" : answer.error().message.substr(0, answer.error().message.find('\n'));
  return facts;
}

}  // namespace skep::ctl
