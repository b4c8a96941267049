#pragma once

// The one table that turns a Code into an HTTP status (Docker API gateway) and an exit code
// (agentctl). Exit code 2 is kept for wrong usage of the command line, found before any call.

#include "skep/result.h"

namespace skep::model {

struct CodeMapping {
  int http_status;
  int exit_code;
};

/// Total: every Code has a row.
CodeMapping map_code(Code code);
inline int http_status(Code code) {
  return map_code(code).http_status;
}
inline int exit_code(Code code) {
  return map_code(code).exit_code;
}

}  // namespace skep::model
