#include "core/agentctl/template/template.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/agentctl/suggest.h"
#include "core/agentctl/template/ast.h"
#include "core/agentctl/template/functions.h"

namespace skep::ctl {
namespace {

constexpr std::size_t kOutputMax = 16 * 1024 * 1024;
constexpr std::size_t kStepsMax = 1'000'000;

Error bad(std::size_t offset, std::string_view what, std::string reason = "BAD_TEMPLATE") {
  return Error{Code::kInvalidArgument,
               fmt::format("template: at character {}: {}", offset + 1, what), std::move(reason)};
}

class Evaluator {
 public:
  Evaluator(const Value& data, const std::set<std::string, std::less<>>& absent) : absent_(absent) {
    variables_.emplace_back("$", data);
  }

  enum class Flow { kNext, kBreak, kContinue };

  Result<Flow> run(const std::vector<ast::Node>& nodes, const Value& dot) {
    const std::size_t scope = variables_.size();
    for (const ast::Node& node : nodes) {
      if (++steps_ > kStepsMax || out_.size() > kOutputMax) {
        return Error{Code::kResourceExhausted,
                     "template: it produces too much (limit: 16 MiB, one million steps)"};
      }
      SKEP_TRY_ASSIGN(const Flow flow, run_node(node, dot));
      if (flow != Flow::kNext) {
        drop_variables(scope);
        return flow;
      }
    }
    drop_variables(scope);
    return Flow::kNext;
  }

  std::string take_output() { return std::move(out_); }

 private:
  void drop_variables(std::size_t scope) {
    variables_.erase(variables_.begin() + static_cast<std::ptrdiff_t>(scope), variables_.end());
  }

  Result<Flow> run_node(const ast::Node& node, const Value& dot) {
    switch (node.kind) {
      case ast::Node::Kind::kText:
        out_ += node.text;
        return Flow::kNext;
      case ast::Node::Kind::kBreak:
        return Flow::kBreak;
      case ast::Node::Kind::kContinue:
        return Flow::kContinue;
      case ast::Node::Kind::kRange:
        return run_range(node, dot);
      case ast::Node::Kind::kAction: {
        SKEP_TRY_ASSIGN(const Value value, evaluate_and_bind(node.pipeline, dot));
        if (node.pipeline.variables.empty()) {
          out_ += value.is_null() ? "<no value>" : value.print();
        }
        return Flow::kNext;
      }
      case ast::Node::Kind::kIf:
      case ast::Node::Kind::kWith: {
        const std::size_t scope = variables_.size();
        SKEP_TRY_ASSIGN(const Value value, evaluate_and_bind(node.pipeline, dot));
        const bool with = node.kind == ast::Node::Kind::kWith;
        auto flow = value.truthy() ? run(node.body, with ? value : dot) : run(node.otherwise, dot);
        drop_variables(scope);
        return flow;
      }
    }
    SKEP_UNREACHABLE();
  }

  Result<Flow> run_range(const ast::Node& node, const Value& dot) {
    SKEP_TRY_ASSIGN(const Value over, evaluate(node.pipeline, dot));
    std::vector<std::pair<Value, Value>> items;
    if (const auto* list = over.as_list()) {
      for (std::size_t i = 0; i < list->size(); ++i) {
        items.emplace_back(i, (*list)[i]);
      }
    } else if (const auto* map = over.as_map()) {
      for (const Value::Member& member : *map) {
        items.emplace_back(member.key, member.value);
      }
      std::sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
        return *a.first.as_text() < *b.first.as_text();
      });
    } else if (!over.is_null()) {
      return Error{
          Code::kInvalidArgument,
          fmt::format("template: range goes over a list or map, not a {}", over.kind_name()),
          "BAD_TEMPLATE"};
    }
    if (items.empty()) {
      return run(node.otherwise, dot);
    }
    return run_items(node, items);
  }

  Result<Flow> run_items(const ast::Node& node, const std::vector<std::pair<Value, Value>>& items) {
    const std::size_t scope = variables_.size();
    for (const auto& [key, item] : items) {
      if (node.pipeline.variables.size() == 2) {
        variables_.emplace_back(node.pipeline.variables[0], key);
      }
      if (!node.pipeline.variables.empty()) {
        variables_.emplace_back(node.pipeline.variables.back(), item);
      }
      SKEP_TRY_ASSIGN(const Flow flow, run(node.body, item));
      drop_variables(scope);
      if (flow == Flow::kBreak) {
        break;
      }
    }
    return Flow::kNext;
  }

  Result<Value> evaluate_and_bind(const ast::Pipeline& pipeline, const Value& dot) {
    SKEP_TRY_ASSIGN(Value value, evaluate(pipeline, dot));
    for (const std::string& name : pipeline.variables) {
      if (pipeline.declares) {
        variables_.emplace_back(name, value);
        continue;
      }
      const auto it = std::find_if(variables_.rbegin(), variables_.rend(),
                                   [&](const auto& variable) { return variable.first == name; });
      if (it == variables_.rend()) {
        return Error{Code::kInvalidArgument,
                     fmt::format("template: variable '{}' was not declared with :=", name),
                     "BAD_TEMPLATE"};
      }
      it->second = value;
    }
    return value;
  }

  Result<Value> evaluate(const ast::Pipeline& pipeline, const Value& dot) {
    Value value;
    for (std::size_t i = 0; i < pipeline.commands.size(); ++i) {
      SKEP_TRY_ASSIGN(value, command(pipeline.commands[i], dot, i > 0 ? &value : nullptr));
    }
    return value;
  }

  // `piped`: result of the command before, the last argument of this one.
  Result<Value> command(const ast::Command& words, const Value& dot, const Value* piped) {
    const ast::Operand& first = words.front();
    if (first.kind == ast::Operand::Kind::kFunction) {
      if (first.name == "and" || first.name == "or") {
        return short_circuit(words, dot, piped);
      }
      const TemplateFunction function = find_template_function(first.name);
      if (function == nullptr) {
        return bad(first.offset, fmt::format("there is no function '{}'{}", first.name,
                                             did_you_mean(first.name, template_function_names())));
      }
      SKEP_TRY_ASSIGN(const Value::List arguments, evaluate_arguments(words, dot, piped));
      auto result = function(arguments);
      return result ? std::move(result) : bad(first.offset, result.error().message);
    }
    SKEP_TRY_ASSIGN(Value value, operand(first, dot));
    if (const auto* function = value.as_function()) {
      SKEP_TRY_ASSIGN(const Value::List arguments, evaluate_arguments(words, dot, piped));
      auto result = (*function)(arguments);
      return result ? std::move(result) : bad(first.offset, result.error().message);
    }
    if (words.size() > 1 || piped != nullptr) {
      return bad(first.offset, "this value is not a function and takes no arguments");
    }
    return value;
  }

  Result<Value::List> evaluate_arguments(const ast::Command& words, const Value& dot,
                                         const Value* piped) {
    Value::List arguments;
    for (std::size_t i = 1; i < words.size(); ++i) {
      SKEP_TRY_ASSIGN(Value argument, operand(words[i], dot));
      arguments.push_back(std::move(argument));
    }
    if (piped != nullptr) {
      arguments.push_back(*piped);
    }
    return arguments;
  }

  Result<Value> short_circuit(const ast::Command& words, const Value& dot, const Value* piped) {
    const bool stops_at = words.front().name == "or";
    if (words.size() < 2 && piped == nullptr) {
      return bad(words.front().offset,
                 fmt::format("function '{}' takes at least one argument", words.front().name));
    }
    Value value;
    for (std::size_t i = 1; i < words.size(); ++i) {
      SKEP_TRY_ASSIGN(value, operand(words[i], dot));
      if (value.truthy() == stops_at) {
        return value;
      }
    }
    return piped != nullptr ? *piped : value;
  }

  Result<Value> operand(const ast::Operand& word, const Value& dot) {
    SKEP_TRY_ASSIGN(Value value, base(word, dot));
    for (const std::string& field : word.fields) {
      const Value* member = value.find(field);
      if (member != nullptr) {
        value = Value(*member);
      } else if (value.is_dictionary()) {
        value = Value("");
      } else if (absent_.contains(field) ||
                 (value.is_null() && !word.fields.empty() && field != word.fields.front())) {
        value = Value();
      } else {
        return bad(word.offset, missing(field, value), "NO_SUCH_FIELD");
      }
    }
    return value;
  }

  Result<Value> base(const ast::Operand& word, const Value& dot) {
    switch (word.kind) {
      case ast::Operand::Kind::kDot:
        return dot;
      case ast::Operand::Kind::kLiteral:
        return word.literal;
      case ast::Operand::Kind::kPipeline:
        return evaluate(*word.pipeline, dot);
      case ast::Operand::Kind::kFunction:
        return command({word}, dot, nullptr);
      case ast::Operand::Kind::kVariable:
        break;
    }
    const auto it = std::find_if(variables_.rbegin(), variables_.rend(),
                                 [&](const auto& variable) { return variable.first == word.name; });
    if (it == variables_.rend()) {
      return bad(word.offset, fmt::format("variable '{}' is not known here", word.name));
    }
    return it->second;
  }

  static std::string missing(const std::string& field, const Value& value) {
    const Value::Map* map = value.as_map();
    if (map == nullptr) {
      return fmt::format("'.{}' is read from a {}", field, value.kind_name());
    }
    std::vector<std::string_view> names;
    std::string known;
    for (const Value::Member& member : *map) {
      names.push_back(member.key);
      known += (known.empty() ? "." : ", .") + member.key;
    }
    const std::string guess = did_you_mean(field, names);
    return fmt::format(
        "there is no field '.{}'{}", field,
        !guess.empty() ? guess : fmt::format("; there are {}", known.empty() ? "none" : known));
  }

  const std::set<std::string, std::less<>>& absent_;
  std::vector<std::pair<std::string, Value>> variables_;
  std::string out_;
  std::size_t steps_ = 0;
};

}  // namespace

Result<Template> Template::parse(std::string_view source) {
  SKEP_TRY_ASSIGN(std::vector<ast::Node> nodes, ast::parse(source));
  Template result;
  result.nodes_ = std::make_shared<const std::vector<ast::Node>>(std::move(nodes));
  return result;
}

Result<std::string> Template::run(const Value& data,
                                  const std::set<std::string, std::less<>>& absent) const {
  Evaluator evaluator(data, absent);
  SKEP_TRY(evaluator.run(*nodes_, data));
  return evaluator.take_output();
}

}  // namespace skep::ctl
