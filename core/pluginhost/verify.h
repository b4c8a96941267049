#pragma once

// `agent-plugin-host --verify FILE.so`: judges a plugin by the suites its kinds must pass, in every
// placement its manifest allows, on a bus and in directories of its own.

#include <string>

#include "skep/result.h"

namespace skep::host {

struct VerifyOptions {
  std::string plugin;        ///< path of the .so
  std::string host_program;  ///< path of agent-plugin-host
  std::string image;         ///< for runtimes with images: what to pull and run
};

/// Prints a line per case to stdout; true when nothing failed. An Error when the plugin cannot even
/// be tried.
Result<bool> verify(const VerifyOptions& options);

}  // namespace skep::host
