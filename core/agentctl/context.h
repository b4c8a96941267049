#pragma once

// What a command of agentctl works with: where to print, which agent, and the world behind Env
// interfaces. One per invocation, main thread, owned by main() (or a test).

#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>

#include "core/agentctl/client.h"
#include "skep/env.h"

namespace skep::ctl {

struct Terminal {
  bool input = false;   ///< stdin is a terminal
  bool output = false;  ///< stdout is one
  bool errors = false;
  unsigned rows = 24;
  unsigned columns = 80;
  bool colour = false;  ///< output is a terminal and NO_COLOR is not set
};

struct World {
  Clock& clock;
  Random& random;
  Disk& disk;
  Subprocess& subprocess;
};

struct Context {
  Context(std::ostream& output, std::ostream& errors, std::istream& input, World world)
      : out(output),
        err(errors),
        in(input),
        clock(world.clock),
        random(world.random),
        disk(world.disk),
        subprocess(world.subprocess) {}

  std::ostream& out;
  std::ostream& err;
  std::istream& in;
  Clock& clock;
  Random& random;
  Disk& disk;
  Subprocess& subprocess;
  std::map<std::string, std::string> environment = {};
  Terminal terminal = {};
  std::string root = "/";  ///< --root, else SKEP_ROOT, else "/"
  /// Connects to the agent of `root`; kUnavailable says where it looked and how to start one.
  std::function<Result<std::unique_ptr<Connection>>(const std::string& root)> connect = {};
  /// argv[0], to find the programs beside us (agent-plugin-host).
  std::string program = "agentctl";

  /// The agent, connected on first use and kept.
  Result<Client*> agent();
  /// Value of an environment variable, empty when unset.
  [[nodiscard]] std::string variable(const std::string& name) const;

 private:
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<Client> client_;
};

}  // namespace skep::ctl
