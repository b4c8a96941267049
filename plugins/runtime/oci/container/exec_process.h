#pragma once

// Starts one more process in a running container: "runc exec" in the foreground, whose exit code is
// the process's. Blocking: worker threads only.

#include <memory>
#include <string>

#include "plugins/runtime/oci/container/engine.h"
#include "plugins/runtime/oci/container/fd.h"

namespace skep::oci {

struct TerminalSize {
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
};

struct StartedExec {
  int pid = 0;  ///< of the OCI runtime, our child: whoever gets this reaps it
  UniqueFd pidfd;
  UniqueFd input;     ///< socket; with a terminal its master side, which is also the output
  UniqueFd output;
  UniqueFd errors;
  std::string pid_file;      ///< appears when the process has started
  std::string process_file;  ///< to remove in the end
};

/// `number` is unique within this driver's life. kInvalidArgument: no command or an unknown user.
Result<StartedExec> start_exec(Env& env, const Engine& engine, const ContainerRecord& record,
                               const runtime::v1::ExecStart& wanted, TerminalSize size,
                               std::uint64_t number);

void resize_terminal(int master, TerminalSize size);

}  // namespace skep::oci
