#pragma once

// Where everything of a container lies. Under state_dir what survives a reboot, under run_dir what
// does not:
//
//   STATE/containers/ID/{container.json, upper/, work/, container.log, container.log.1, ...}
//   RUN/bundles/ID/{config.json, rootfs/, pid, conmon.pid, ctl, attach, hosts, hostname, resolv.conf}
//   RUN/exits/ID            conmon's exit file
//   RUN/runtime/ID/         the OCI runtime's own state (--root)
//   cgroup /skep-INSTALLATION/DRIVER/ID

#include <string>

namespace skep::oci {

struct Layout {
  std::string state_dir;
  std::string run_dir;
  std::string cgroup_parent;  ///< "/skep-INSTALLATION/DRIVER"

  [[nodiscard]] std::string containers() const { return state_dir + "/containers"; }
  [[nodiscard]] std::string state(const std::string& id) const { return containers() + "/" + id; }
  [[nodiscard]] std::string record(const std::string& id) const { return state(id) + "/container.json"; }
  [[nodiscard]] std::string log(const std::string& id) const { return state(id) + "/container.log"; }
  [[nodiscard]] std::string bundles() const { return run_dir + "/bundles"; }
  [[nodiscard]] std::string bundle(const std::string& id) const { return bundles() + "/" + id; }
  [[nodiscard]] std::string rootfs(const std::string& id) const { return bundle(id) + "/rootfs"; }
  [[nodiscard]] std::string exits() const { return run_dir + "/exits"; }
  [[nodiscard]] std::string exit_file(const std::string& id) const { return exits() + "/" + id; }
  [[nodiscard]] std::string runtime_root() const { return run_dir + "/runtime"; }
  [[nodiscard]] std::string cgroup(const std::string& id) const { return cgroup_parent + "/" + id; }
};

}  // namespace skep::oci
