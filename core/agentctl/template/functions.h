#pragma once

// The functions templates may call. Internal to template/.

#include <string_view>
#include <vector>

#include "core/agentctl/template/value.h"
#include "skep/result.h"

namespace skep::ctl {

using TemplateFunction = Result<Value> (*)(const Value::List& arguments);

/// nullptr when there is no such function. `and` and `or` are the evaluator's own.
TemplateFunction find_template_function(std::string_view name);
/// For suggestions.
std::vector<std::string_view> template_function_names();

}  // namespace skep::ctl
