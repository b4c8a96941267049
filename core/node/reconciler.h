#pragma once

// Every 10 s compares what the records say should exist with what does: containers of each runtime,
// sandboxes, endpoints of each network driver. What belongs to no task goes; what a task lost is
// noticed. Only touches what bears this installation (drivers list nothing else) and nothing before
// managers said what this node should have. Loop thread only.

#include <memory>
#include <string>

#include "core/node/driver_watch.h"
#include "core/node/task_manager.h"

namespace skep::node {

class Reconciler {
 public:
  Reconciler(Env& env, rpc::Caller& caller, const NodeConfig& config, NodeParts parts,
             DriverWatch& drivers, TaskManager& tasks);
  ~Reconciler();
  Reconciler(const Reconciler&) = delete;
  Reconciler& operator=(const Reconciler&) = delete;

  /// Runs every 10 s from now on.
  void start();
  /// One comparison now.
  void run();

 private:
  void arm();
  void check_runtime(const std::string& runtime);
  void check_network(const std::string& driver);
  void check_sandboxes();
  void check_directories();
  void remove_endpoint(const std::string& driver, const network::v1::EndpointInfo& endpoint);

  Env& env_;
  rpc::Caller& caller_;
  const NodeConfig& config_;
  NodeParts parts_;
  DriverWatch& drivers_;
  TaskManager& tasks_;
  TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::node
