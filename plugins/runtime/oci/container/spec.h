#pragma once

// The OCI configuration (config.json) of one container, from what the caller asked for, the image
// and facts about the machine. Pure: golden tests in spec_test.cc.

#include <cstdint>
#include <string>
#include <vector>

#include "plugins/runtime/oci/container/capabilities.h"
#include "plugins/runtime/oci/container/limits.h"
#include "plugins/runtime/oci/container/user.h"
#include "skep/result.h"
#include "skep/runtime.pb.h"

namespace skep::oci {

/// Facts about this machine; read once at start.
struct Machine {
  std::string architecture = "x86_64";  ///< uname -m
  CapabilitySet capabilities = kAllCapabilities;
  bool cgroup_unified = false;  ///< cgroup v2 is the only hierarchy
  MachineLimits limits = {};
  std::string init_path = {};  ///< /usr/bin/catatonit; empty when it is not installed
  bool seccomp = true;
};

/// A mount that the runtime itself adds (the process driver's tmpfs over /run, for example).
struct ExtraMount {
  std::string target;
  std::string type;
  std::string source;
  std::vector<std::string> options;
};

struct SpecInput {
  const runtime::v1::CreateRequest& request;
  const runtime::v1::Image& image;
  User user = {};
  Machine machine = {};
  std::string rootfs_path;
  bool root_read_only = false;  ///< besides what the service says
  std::string cgroups_path;     ///< "/skep-INSTALLATION/CONTAINER"
  std::string hostname;
  std::string hosts_path;     ///< files bound over /etc/hosts, /etc/resolv.conf, /etc/hostname
  std::string resolv_path;
  std::string hostname_path;
  std::vector<ExtraMount> early_mounts = {};  ///< before the service's binds
  std::vector<std::string> masked_paths = {};
  std::int64_t shm_bytes = 64LL << 20;
};

/// The text of config.json. kInvalidArgument names the wrong field and what is allowed;
/// kFailedPrecondition: `init` is wanted and catatonit is not installed.
Result<std::string> build_spec(const SpecInput& input);

/// linux.uidMappings-free process part for exec: the container's own with other arguments.
struct ExecProcess {
  std::vector<std::string> args;
  std::vector<std::string> env;  ///< added to the container's
  std::string directory = {};    ///< empty: the container's
  User user = {};
  bool user_given = false;
  bool tty = false;
};
/// `config` is the text of the container's config.json. kDataLoss when it does not parse.
Result<std::string> build_exec_process(const std::string& config, const ExecProcess& wanted);

}  // namespace skep::oci
