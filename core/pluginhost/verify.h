#pragma once

// `agent-plugin-host --verify FILE.so` and `--verify-program PROGRAM ARG...`: judges a plugin by the
// suites its kinds must pass, on a bus and in directories of its own; a file in every placement its
// manifest allows. Main thread only. SIGTERM and SIGINT, blocked by the caller, end everything that
// was started.

#include <string>
#include <vector>

#include "skep/result.h"

namespace skep::host {

struct VerifyOptions {
  std::string host_program;        ///< path of agent-plugin-host
  std::vector<std::string> kinds;  ///< "volume/1": the plugin must serve these; judged are all it serves
  std::string image;               ///< for runtimes with images: what to pull and run
};

/// Both print a line per case to stdout; true when nothing failed. An Error when the plugin cannot even
/// be tried.
Result<bool> verify_file(const std::string& file, const VerifyOptions& options);
/// Starts `argv` with the path of a bus socket in SKEP_BUS, and waits for its HELLO.
Result<bool> verify_program(const std::vector<std::string>& argv, const VerifyOptions& options);

}  // namespace skep::host
