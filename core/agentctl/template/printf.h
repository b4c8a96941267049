#pragma once

// Go's fmt.Sprintf for the verbs that make sense in a template. Internal to template/.

#include <string>
#include <string_view>

#include "core/agentctl/template/value.h"

namespace skep::ctl {

/// Verbs %v %s %d %q %t %f %e %g %x %X %c %%, flags - + 0 and space, width and precision (at most
/// 1,000). A mismatch is printed as Go does: "%!d(string=x)", "%!s(MISSING)", "%!(EXTRA ...)".
std::string go_sprintf(std::string_view format, const Value::List& arguments);

}  // namespace skep::ctl
