#pragma once

// The runtime driver "process": programs of the node itself, run like containers (own process,
// mount, IPC and network namespaces, limits, logs, exit codes) but without an image. Their root is
// the node's "/", read-only, with fresh /tmp, /var/tmp and /run; the agent's own files are hidden.

#include "plugins/runtime/oci/container/container_driver.h"

namespace skep::process {

class ProcessDriver final : public oci::ContainerDriver {
 public:
  ProcessDriver() : ContainerDriver("process") {}
  ~ProcessDriver() override { stop(); }

 protected:
  Result<std::shared_ptr<oci::RootfsSource>> make_source(const DriverContext& context) override;
};

/// Mount points of local file systems below "/" (a separate /usr or /home) in the text of
/// /proc/self/mountinfo, parents first: a bind of "/" does not carry them. Pure.
std::vector<std::string> local_mounts(const std::string& mountinfo,
                                      const std::vector<std::string>& hidden);

}  // namespace skep::process
