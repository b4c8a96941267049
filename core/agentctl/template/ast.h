#pragma once

// The parsed form of a template. Internal to template/.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/agentctl/template/value.h"
#include "skep/result.h"

namespace skep::ctl::ast {

struct Pipeline;

/// One word of a command, with the fields read from it: `$x.Name`, `(index .A 0).B`, `.A.B`.
struct Operand {
  enum class Kind { kDot, kVariable, kFunction, kLiteral, kPipeline };
  Kind kind = Kind::kDot;
  std::string name = {};  ///< of a variable or function
  Value literal = {};
  std::shared_ptr<const Pipeline> pipeline = {};  ///< shared: templates are copied as values
  std::vector<std::string> fields = {};
  std::size_t offset = 0;
};
using Command = std::vector<Operand>;

struct Pipeline {
  std::vector<std::string> variables = {};  ///< `$x :=`, `$i, $e :=`
  bool declares = false;                    ///< := rather than =
  std::vector<Command> commands = {};
};

struct Node {
  enum class Kind { kText, kAction, kIf, kWith, kRange, kBreak, kContinue };
  Kind kind = Kind::kText;
  std::string text = {};
  Pipeline pipeline = {};
  std::vector<Node> body = {};
  std::vector<Node> otherwise = {};
};

/// kInvalidArgument: what is wrong and at which character.
Result<std::vector<Node>> parse(std::string_view source);

}  // namespace skep::ctl::ast
