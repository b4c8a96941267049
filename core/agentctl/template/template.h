#pragma once

// Go's template language as far as `--format` needs it: fields, pipelines, variables, if/else,
// with, range, break, continue, comments, trim markers and the functions of Docker's command line
// (json, join, split, upper, lower, title, pad, truncate, print, printf, println, len, index,
// slice, and, or, not, eq, ne, lt, le, gt, ge). Pure: text and a Value in, text out.

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/agentctl/template/value.h"
#include "skep/result.h"

namespace skep::ctl {

namespace ast {
struct Node;
}

class Template {
 public:
  /// kInvalidArgument (reason BAD_TEMPLATE) names what is wrong and where. At most 64 KiB,
  /// 64 levels of nesting.
  static Result<Template> parse(std::string_view source);

  /// Runs it over `data`. A field that does not exist is kInvalidArgument (reason NO_SUCH_FIELD)
  /// with the fields there are, unless `absent` names it: those read as nil, because they belong
  /// to the shape and were only left out. Output is at most 16 MiB, one million steps.
  [[nodiscard]] Result<std::string> run(
      const Value& data, const std::set<std::string, std::less<>>& absent = {}) const;

 private:
  std::shared_ptr<const std::vector<ast::Node>> nodes_;  // immutable, so copies may share it
};

}  // namespace skep::ctl
