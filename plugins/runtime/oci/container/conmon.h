#pragma once

// The words spoken with conmon and the OCI runtime: command lines, the answer on the sync pipe,
// exit files, and the runtime's error texts made readable. Pure.

#include <optional>
#include <string>
#include <vector>

#include "skep/result.h"

namespace skep::oci {

struct ConmonCommand {
  std::string conmon_path;
  std::string runtime_path;
  std::string runtime_root;  ///< the runtime's --root
  std::string container_id;
  std::string bundle;
  std::string exit_dir;
  std::string log_path;
  bool tty = false;
  bool open_stdin = false;
};
/// conmon answers on fd 3 (_OCI_SYNCPIPE=3), forks away and writes BUNDLE/conmon.pid first.
std::vector<std::string> conmon_argv(const ConmonCommand& command);

/// One line of the sync pipe: {"data": PID} or {"data": -1, "message": TEXT}. An error carries the
/// runtime's text unchanged; see explain_runtime_error().
Result<int> parse_sync_line(const std::string& line);

/// What `runtime_path` said, in words that name the thing to change. `command` is argv[0] of the
/// container. reason COMMAND_NOT_FOUND and COMMAND_NOT_EXECUTABLE stand for exit codes 127 and 126.
/// kInvalidArgument: the service or the exec asks for what cannot be; kFailedPrecondition: the
/// container does not run, or the runtime does not suit the machine; kResourceExhausted: the disk
/// is full; kInternal: everything else.
Error explain_runtime_error(const std::string& text, const std::string& command,
                            const std::string& runtime_path);

/// Shell's code for a start that failed: 127 not found, 126 not executable, else 128 (as Docker).
int exit_code_of_failed_start(const Error& error);

/// The number in an exit file; nullopt while it is not whole.
std::optional<int> parse_exit_file(const std::string& text);

}  // namespace skep::oci
