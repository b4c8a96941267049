#pragma once

// `agentctl doctor`: is this machine fit to run an agent? Facts are gathered by probe.cc, judged
// here. Pure.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace skep::ctl {

enum class Verdict { kOk, kWarning, kBad };

struct Finding {
  std::string check;
  Verdict verdict = Verdict::kOk;
  std::string detail;
  std::string advice = {};  ///< what to do, unless ok
};

struct PortFact {
  std::string name;  ///< "2377/tcp"
  std::string purpose;
  std::string error;  ///< why it cannot be bound; empty when it can
};

/// What the machine answered. Everything optional is unknown when it could not be read.
struct MachineFacts {
  bool root_user = false;
  std::string kernel;
  std::vector<std::string> filesystems;  ///< of /proc/filesystems
  std::vector<std::string> namespaces;   ///< of /proc/self/ns
  std::string cgroup_version;            ///< "1", "2", "hybrid", ""
  std::vector<std::string> cgroup_controllers;
  bool seccomp = false;
  std::optional<bool> ip_forward;
  std::optional<bool> nftables;  ///< a netlink socket of nf_tables answered
  std::optional<bool> bridge;
  std::optional<bool> vxlan;
  std::string devices_error;  ///< why bridge and vxlan could not be asked although the tools are there
  std::map<std::string, std::string> tools;  ///< name to path, "" when missing
  std::vector<PortFact> ports;
  bool agent_answers = false;
  std::string agent_error;
  std::string swarm_state;  ///< "inactive", "active", ... as the agent says
  std::string swarm_error;  ///< what is wrong with it, with the way out; "" when nothing
  std::vector<std::string> agent_warnings;  ///< as in 'agentctl info'
  std::string state_directory;
  std::string state_error;            ///< why it cannot be written
  std::vector<std::int64_t> sync_ns;  ///< time of each write and sync there
  std::optional<std::uint64_t> free_bytes;
  std::uint64_t open_files_max = 0;
};

std::vector<Finding> judge(const MachineFacts& facts);

}  // namespace skep::ctl
