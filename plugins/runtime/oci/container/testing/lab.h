#pragma once

// A driver on the real machine for tests: its own root directory, a root file system made of
// busybox, a loop in the calling thread. Everything it makes carries one random installation id;
// the destructor removes it all and says what was left.

#include <functional>
#include <memory>
#include <string>

#include "core/base/real_env.h"
#include "plugins/runtime/oci/container/container_driver.h"

namespace skep::oci::testing {

/// Why the ROOT_ tests cannot run here; empty when they can.
std::string missing_for_containers();

/// One layer: a directory. Image defaults come from the test.
class DirectorySource final : public RootfsSource {
 public:
  Rootfs rootfs;
  Result<Rootfs> find(const model::v1::ContainerSpec& spec) override;
};

class LabDriver final : public ContainerDriver {
 public:
  explicit LabDriver(std::shared_ptr<RootfsSource> source)
      : ContainerDriver("lab"), source_(std::move(source)) {}
  ~LabDriver() override { stop(); }

 protected:
  Result<std::shared_ptr<RootfsSource>> make_source(const DriverContext&) override {
    return source_;
  }

 private:
  std::shared_ptr<RootfsSource> source_;
};

class Lab {
 public:
  /// Makes the driver; its name is the last part of the cgroup's name.
  using Factory = std::function<std::unique_ptr<ContainerDriver>()>;
  explicit Lab(std::size_t workers = 4);
  Lab(std::string driver, Factory factory, std::size_t workers = 4);
  ~Lab();
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;

  ContainerDriver& driver() { return *driver_; }
  DirectorySource& source() { return *source_; }
  Env& env() { return real_.env; }
  base::AsioLoop& loop() { return real_.loop; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string state_dir() const { return directory_ + "/state"; }
  [[nodiscard]] std::string run_dir() const { return directory_ + "/run"; }
  [[nodiscard]] std::string cgroup(const std::string& id) const;

  /// As a crash of the agent: the driver object goes, containers stay; start() makes a new one.
  void crash();
  Status start(std::map<std::string, std::string> config = {});

  /// A fresh id of 64 digits.
  std::string new_id();
  /// A request that runs `command` ("sh", "-c", ...).
  runtime::v1::CreateRequest request(std::vector<std::string> command);

  /// Runs the loop until `ready()`; false after `limit`.
  bool until(const std::function<bool()>& ready, Duration limit = std::chrono::seconds(30));

  Result<runtime::v1::CreateResponse> create(const runtime::v1::CreateRequest& request);
  Result<runtime::v1::StartResponse> start_container(const std::string& id);
  Result<runtime::v1::WaitResponse> wait(const std::string& id);
  Result<runtime::v1::StopResponse> stop(const std::string& id, Duration grace);
  Result<runtime::v1::RemoveResponse> remove(const std::string& id, bool force);
  Result<runtime::v1::SignalResponse> signal(const std::string& id, const std::string& name);
  Result<runtime::v1::ListResponse> list();
  Result<runtime::v1::InspectResponse> inspect(const std::string& id);
  Result<runtime::v1::RecoverResponse> recover(const std::vector<std::string>& ids);
  Result<runtime::v1::StatsResponse> stats(const std::string& id);
  /// create + start + wait.
  Result<runtime::v1::WaitResponse> run(const runtime::v1::CreateRequest& request);
  /// The text of the container's log, prefixes taken off, all streams.
  std::string output(const std::string& id);

  /// Mounts, cgroups and processes that carry this lab's name.
  [[nodiscard]] std::vector<std::string> leftovers() const;

 private:
  template <class Response, class Call>
  Result<Response> answer(Call call);

  std::string driver_name_ = "lab";
  Factory factory_;
  std::string installation_;
  std::string directory_;
  std::shared_ptr<DirectorySource> source_ = std::make_shared<DirectorySource>();
  base::RealEnv real_;
  plugin::v1::StartRequest start_;
  std::unique_ptr<rpc::Caller> caller_;
  std::unique_ptr<ContainerDriver> driver_;
};

}  // namespace skep::oci::testing
