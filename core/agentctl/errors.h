#pragma once

// How failures reach the person: "Error: what: why" and, where we know it, what to do next, on
// stderr; and the exit code that docs/agentctl.md lists.

#include <string>

#include "skep/result.h"

namespace skep::ctl {

struct Context;

/// 2 for a wrong command line, else core/model/codes.h's.
int exit_code_of(const Error& error);
/// What people can try, or "".
std::string next_step(const Error& error);
/// The text print_error() writes, without colours.
std::string error_text(const Error& error);
void print_error(Context& context, const Error& error);

}  // namespace skep::ctl
