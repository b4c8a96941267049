#pragma once

// Performs what the driver decides for one container: files, mounts, conmon, signals. Every call
// blocks and belongs on a worker thread; calls for one container never overlap (the driver queues
// them), calls for different containers may. Holds no state but its configuration.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plugins/runtime/oci/container/cgroups.h"
#include "plugins/runtime/oci/container/layout.h"
#include "plugins/runtime/oci/container/record.h"
#include "plugins/runtime/oci/container/rootfs_source.h"
#include "skep/env.h"

namespace skep::oci {

/// Patience with one command of the OCI runtime, or with a container between created and running.
inline constexpr std::chrono::seconds kCommandTimeout{30};

struct EngineConfig {
  std::string driver;        ///< "oci", "process"
  std::string runtime_path;  ///< runc or another OCI runtime
  std::string conmon_path;
  Layout layout;
  Machine machine;
  std::int64_t log_size_max = 10LL << 20;  ///< bytes of one log file, of requests that name none
  std::uint32_t log_files_max = 3;         ///< log files per container, the current one included
};

class Engine {
 public:
  Engine(Env& env, EngineConfig config, Cgroups cgroups, std::shared_ptr<RootfsSource> source);

  [[nodiscard]] const Layout& layout() const { return config_.layout; }
  [[nodiscard]] const EngineConfig& config() const { return config_; }
  [[nodiscard]] const Cgroups& cgroups() const { return cgroups_; }

  /// Makes directories, root file system, bundle and record. On an error nothing is left.
  Result<ContainerRecord> create(const runtime::v1::CreateRequest& request);
  /// conmon and the OCI runtime start it; the record gets pid, conmon_pid and state running. On an
  /// error the record is exited with 126, 127 or 128 and nothing runs.
  Status start(ContainerRecord& record);
  /// Sends to the container's first process. kNotFound: it does not run any more.
  Status signal(const ContainerRecord& record, int number);
  /// After the exit: runtime state, cgroups and mounts go; logs and record stay.
  Status release(const std::string& id);
  /// Everything of `id` goes, running or not. An unknown id is success.
  Status purge(const std::string& id);
  Status save(const ContainerRecord& record);

  /// Every container that left a trace, by record or by leftover.
  Result<std::vector<std::string>> known_ids();
  /// Removes the groups above the containers' own when no container is left.
  void remove_empty_cgroups();
  /// After a restart of agent or machine: what has become of `id`. Cleans what a crash left half
  /// done. kNotFound: there is no usable record; the leftovers are removed.
  Result<ContainerRecord> recover(const std::string& id);
  /// Every container's record as it is on disk; what has none is left out. Changes nothing.
  Result<std::vector<ContainerRecord>> stored();
  /// Code, time and OOM from conmon's exit file; nullopt while there is none.
  [[nodiscard]] std::optional<runtime::v1::ExitStatus> read_exit(const std::string& id) const;
  /// True when `pid` is the conmon of `id` (not a later process with its number).
  [[nodiscard]] bool is_conmon(int pid, const std::string& id) const;

 private:
  Status fill_bundle(const runtime::v1::CreateRequest& request, const Rootfs& rootfs,
                     ContainerRecord& record);
  Status write_name_files(const runtime::v1::CreateRequest& request, const std::string& hostname);
  Status check_binds(const runtime::v1::CreateRequest& request) const;
  Status try_start(ContainerRecord& record);
  void end_failed(ContainerRecord& record, const Error& why);
  Status launch(ContainerRecord& record);
  Result<int> await_sync(const Subprocess::Child& conmon, int sync_fd, int error_fd);
  void await_conmon(const std::string& id);
  /// Its processes, conmon, the OCI runtime's state and the cgroups; mounts and files stay.
  Status end_runtime(const std::string& id);
  Status release_init(const ContainerRecord& record);
  Result<ContainerRecord> load(const std::string& id);
  Status recover_created(ContainerRecord& record);
  Status recover_running(ContainerRecord& record);
  Status write_file(const std::string& path, std::string_view text, int mode);

  Env& env_;
  EngineConfig config_;
  Cgroups cgroups_;
  std::shared_ptr<RootfsSource> source_;  // work on other threads may outlive the driver
};

}  // namespace skep::oci
