#pragma once

// A container's cgroups, on version 1, hybrid and version 2 alike. The OCI runtime makes them; we
// read, kill and remove. [any thread], quick file reads; kill_all() may block up to a second.

#include <cstdint>
#include <string>
#include <vector>

#include "skep/result.h"
#include "skep/runtime.pb.h"

namespace skep::oci {

class Cgroups {
 public:
  /// `mounts` is the text of /proc/mounts.
  explicit Cgroups(const std::string& mounts);

  /// True when version 2 is the only hierarchy.
  [[nodiscard]] bool unified() const { return unified_only_; }
  [[nodiscard]] bool swap_accounting() const;
  /// Processes the kernel killed for lack of memory inside `path` ("/skep-X/oci/ID").
  [[nodiscard]] std::uint64_t oom_kills(const std::string& path) const;
  /// kNotFound when the container has no cgroup (it does not run).
  [[nodiscard]] Result<runtime::v1::StatsResponse> stats(const std::string& path) const;
  /// SIGKILL to everything inside, until nothing is left or a second has passed.
  void kill_all(const std::string& path) const;
  /// Removes `path` and what is below in every hierarchy. kFailedPrecondition: it still has
  /// processes.
  [[nodiscard]] Status remove(const std::string& path) const;
  /// Removes `path` and then its parents, where they hold no process and no other group; what is in
  /// use stays. Only for paths whose every part bears our name.
  void remove_empty(const std::string& path) const;
  /// Names of the children of `path` in any hierarchy.
  [[nodiscard]] std::vector<std::string> children(const std::string& path) const;
  /// Whether /proc/PID/cgroup names a cgroup at or below `path`.
  [[nodiscard]] static bool holds(const std::string& proc_cgroup, const std::string& path);

 private:
  [[nodiscard]] std::vector<int> processes(const std::string& path) const;
  [[nodiscard]] std::string controller(const std::string& name) const;

  struct Hierarchy {
    std::string mount;
    std::vector<std::string> controllers;  // empty: version 2
  };
  std::vector<Hierarchy> hierarchies_;
  std::string unified_mount_;
  bool unified_only_ = false;
};

}  // namespace skep::oci
