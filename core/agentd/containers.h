#pragma once

// The containers of this node, over every runtime driver. Loop thread only.

#include <functional>
#include <string>
#include <vector>

#include "core/agentd/driver_wait.h"
#include "skep/agent.pb.h"
#include "skep/rpc.h"

namespace skep::agentd {

class Containers {
 public:
  /// How long list() waits for runtimes that are about to come.
  static constexpr Duration kRuntimeLimit = std::chrono::seconds(10);

  /// Both, and what `view` holds, outlive this object and the calls it makes.
  Containers(Env& env, rpc::Caller& caller, DriverView view);

  struct Gathered {
    agent::v1::ListContainersResponse containers;
    std::vector<std::string> warnings;  ///< runtimes that run and do not list theirs
  };
  /// What the runtimes that run now answer, within ten seconds.
  void gather(std::function<void(Gathered&)> done);

  /// Every container, or those that run: a list that lacks none. It waits for runtimes that are starting or starting
  /// again, and asks those again that end meanwhile. kUnavailable RUNTIME_NOT_READY: one is not there in time, or does
  /// not answer; retry. A runtime that cannot start is left out as long as another one answers.
  void list(bool all, rpc::Reply<agent::v1::ListContainersResponse> reply);

 private:
  void list_until(TimePoint deadline, bool all, rpc::Reply<agent::v1::ListContainersResponse> reply);

  Env& env_;
  rpc::Caller& caller_;
  DriverView view_;
};

}  // namespace skep::agentd
