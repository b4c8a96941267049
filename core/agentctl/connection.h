#pragma once

// The real connection: the control socket of the agent that runs with some --root.

#include <functional>
#include <memory>
#include <string>

#include "core/agentctl/client.h"

namespace skep::ctl {

/// "ROOT/run/skep/control.sock"
std::string control_socket_path(const std::string& root);

/// kUnavailable: nobody listens there (with how to start an agent); kPermissionDenied: not for us.
Result<std::unique_ptr<Connection>> connect_to_agent(const std::string& root);

/// While it lives, Ctrl-C does not end the process but is reported on the loop, once per press.
class Interrupt {
 public:
  Interrupt(Loop& loop, int signal_number, std::function<void()> on_signal);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

 private:
  Loop& loop_;
  int signal_number_;
  int fd_ = -1;
  bool was_blocked_ = false;
  WatchId watch_ = 0;
};

}  // namespace skep::ctl
