#pragma once

// Follows which drivers answer, and tells each new incarnation of one what is in use (recover) before
// anybody asks it for anything else. A driver that is missing now may come later; one whose plugin
// restarted is recovered again. Loop thread only.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/node/parts.h"
#include "skep/network.pb.h"
#include "skep/rpc.h"
#include "skep/runtime.pb.h"
#include "skep/volume.pb.h"

namespace skep::node {

class DriverWatch {
 public:
  using Containers = google::protobuf::RepeatedPtrField<runtime::v1::ContainerInfo>;
  /// Names are without the kind: "local", "oci".
  struct Hooks {
    std::function<volume::v1::RecoverRequest(const std::string&)> volumes_in_use;
    std::function<network::v1::RecoverRequest(const std::string&)> endpoints_in_use;
    /// Takes in what a runtime lists and answers the ids of all containers the node knows.
    std::function<std::vector<std::string>(const std::string&, const Containers&)> adopt;
    /// What is left after recover; known containers that are not in it are gone.
    std::function<void(const std::string&, const Containers&)> containers_recovered;
    std::function<void()> changed;  ///< some driver became ready or went away
  };
  enum class Availability { kMissing, kRecovering, kReady };

  DriverWatch(Env& env, rpc::Caller& caller, DriverDirectory& directory, Hooks hooks);
  ~DriverWatch();
  DriverWatch(const DriverWatch&) = delete;
  DriverWatch& operator=(const DriverWatch&) = delete;

  /// Reads the directory and starts what is due.
  void check();
  [[nodiscard]] Availability availability(const std::string& driver) const;
  /// Ready drivers of `kind`, without it.
  [[nodiscard]] std::vector<std::string> ready(std::string_view kind) const;
  /// Every driver in the directory, sorted, for the node's description.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  struct Driver {
    std::uint64_t incarnation = 0;
    std::uint64_t attempt = 0;  ///< answers to an older one are ignored
    bool ready = false;
    bool recovering = false;
  };

  void recover(const std::string& name);
  void recover_runtime(const std::string& name, const std::string& driver, std::uint64_t attempt);
  void recovered(const std::string& name, std::uint64_t attempt, const Status& status);
  /// What volumes and endpoints are in use is known as far as it can be.
  [[nodiscard]] bool knows_uses() const;
  bool is_current(const std::string& name, std::uint64_t attempt) const;

  Env& env_;
  rpc::Caller& caller_;
  DriverDirectory& directory_;
  Hooks hooks_;
  std::map<std::string, Driver> drivers_;
  std::uint64_t attempts_ = 0;
  std::set<std::string> listed_;  ///< runtimes whose containers were seen once
  TimePoint started_at_;
  TimerId first_list_timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::node
