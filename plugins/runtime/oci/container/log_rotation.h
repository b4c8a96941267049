#pragma once

// Keeps the logs of running containers within their limits: looks twice per second, more often while
// one of them grows fast. Loop thread only; files are looked at on a worker.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "plugins/runtime/oci/container/log_files.h"
#include "skep/env.h"

namespace skep::oci {

struct WatchedLog {
  std::string directory;
  std::string ctl_path;
  LogLimits limits;
};

class LogRotation {
 public:
  /// `list` names the logs of the containers that run now.
  LogRotation(Env& env, std::function<std::vector<WatchedLog>()> list);
  ~LogRotation();
  LogRotation(const LogRotation&) = delete;
  LogRotation& operator=(const LogRotation&) = delete;
  void start();

 private:
  void arm(Duration delay);
  void look();

  Env& env_;
  std::function<std::vector<WatchedLog>()> list_;
  TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::oci
