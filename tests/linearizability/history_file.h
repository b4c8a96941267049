#pragma once

// Histories as text, one operation per line: `client kind key expected value called returned`.

#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"
#include "tests/linearizability/linearizability.h"

namespace skep::lin {

/// "#" begins a comment. kInvalidArgument names the line.
Result<std::vector<Operation>> parse_history(std::string_view text);

}  // namespace skep::lin
