#pragma once

// Runs a task's health check in its container (runtime/1/exec) whenever HealthMonitor says so.
// Destroying it ends the probe under way. Loop thread only.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/node/health.h"
#include "skep/rpc.h"

namespace skep::node {

class HealthProbe {
 public:
  /// `report` gets "" at the first success and the reason when the task is unhealthy; nothing else,
  /// and nothing after unhealthy.
  HealthProbe(Env& env, rpc::Caller& caller, std::string runtime, std::string container_id,
              HealthMonitor monitor, std::function<void(std::string)> report);
  ~HealthProbe();
  HealthProbe(const HealthProbe&) = delete;
  HealthProbe& operator=(const HealthProbe&) = delete;

 private:
  void arm();
  void probe();
  void on_output(const std::string& bytes);
  void finish(const std::string& failure);
  void end_run();

  Env& env_;
  rpc::Caller& caller_;
  std::string runtime_;
  std::string container_id_;
  HealthMonitor monitor_;
  std::function<void(std::string)> report_;
  TimerId timer_ = 0;
  std::shared_ptr<rpc::ClientStream> exec_;
  std::string output_;
  std::optional<int> exit_code_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::uint64_t run_ = 0;  ///< answers of an earlier run are not this one's
};

}  // namespace skep::node
