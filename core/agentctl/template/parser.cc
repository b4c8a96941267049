#include <fmt/format.h>

#include <charconv>

#include "core/agentctl/template/ast.h"
#include "core/agentctl/template/lexer.h"

namespace skep::ctl::ast {
namespace {

constexpr int kDepthMax = 64;  // nested blocks and parentheses

Error bad(const Token& token, std::string_view what) {
  return Error{Code::kInvalidArgument,
               fmt::format("template: at character {}: {}", token.offset + 1, what),
               "BAD_TEMPLATE"};
}

bool is_keyword(const std::string& word) {
  return word == "if" || word == "else" || word == "end" || word == "range" || word == "with" ||
         word == "break" || word == "continue" || word == "define" || word == "template" ||
         word == "block";
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<std::vector<Node>> run() {
    SKEP_TRY_ASSIGN(Block block, parse_block(0));
    if (block.ended_by != Ending::kEndOfText) {
      return bad(peek(), "'end' or 'else' without an open if, with or range");
    }
    return std::move(block.nodes);
  }

 private:
  enum class Ending { kEndOfText, kEnd, kElse };
  struct Block {
    std::vector<Node> nodes = {};
    Ending ended_by = Ending::kEndOfText;
  };

  const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  const Token& take() {
    const Token& token = peek();
    at_ += at_ + 1 < tokens_.size() ? 1 : 0;
    return token;
  }
  bool next_is_word(std::string_view word) const {
    return peek(1).kind == TokenKind::kIdentifier && peek(1).text == word;
  }

  // Stops in front of {{end}} and {{else...}}.
  Result<Block> parse_block(int depth) {
    Block block;
    if (depth > kDepthMax) {
      return bad(peek(), "blocks are nested more than 64 deep");
    }
    while (peek().kind != TokenKind::kEnd) {
      if (peek().kind == TokenKind::kText) {
        block.nodes.push_back({.kind = Node::Kind::kText, .text = take().text});
        continue;
      }
      if (next_is_word("end") || next_is_word("else")) {
        block.ended_by = next_is_word("end") ? Ending::kEnd : Ending::kElse;
        return block;
      }
      SKEP_TRY_ASSIGN(Node node, parse_action(depth));
      block.nodes.push_back(std::move(node));
    }
    return block;
  }

  Result<Node> parse_action(int depth) {
    const Token& open = take();
    const Token& word = peek();
    if (word.kind == TokenKind::kIdentifier && is_keyword(word.text)) {
      take();
      if (word.text == "if" || word.text == "with" || word.text == "range") {
        return parse_control(open, word.text, depth);
      }
      if (word.text == "break" || word.text == "continue") {
        if (loops_ == 0) {
          return bad(word, fmt::format("'{}' outside of range", word.text));
        }
        SKEP_TRY(close());
        return Node{.kind = word.text == "break" ? Node::Kind::kBreak : Node::Kind::kContinue};
      }
      return bad(word,
                 fmt::format("'{}' is not supported; supported are if, else, with, range, end, "
                             "break, continue and pipelines",
                             word.text));
    }
    Node node{.kind = Node::Kind::kAction};
    SKEP_TRY_ASSIGN(node.pipeline, parse_pipeline(depth));
    SKEP_TRY(close());
    return node;
  }

  // Behind the keyword; consumes up to and with {{end}}.
  Result<Node> parse_control(const Token& open, const std::string& word, int depth) {
    Node node{.kind = word == "if"     ? Node::Kind::kIf
                      : word == "with" ? Node::Kind::kWith
                                       : Node::Kind::kRange};
    SKEP_TRY_ASSIGN(node.pipeline, parse_pipeline(depth));
    SKEP_TRY(close());
    const bool loop = node.kind == Node::Kind::kRange;
    loops_ += loop ? 1 : 0;
    SKEP_TRY_ASSIGN(Block body, parse_block(depth + 1));
    loops_ -= loop ? 1 : 0;
    node.body = std::move(body.nodes);
    if (body.ended_by == Ending::kElse) {
      take();
      const Token& otherwise = take();
      if (peek().kind == TokenKind::kIdentifier && (peek().text == "if" || peek().text == "with")) {
        if (depth + 1 > kDepthMax) {
          return bad(otherwise, "more than 64 else branches");
        }
        const std::string nested = take().text;
        SKEP_TRY_ASSIGN(Node branch, parse_control(open, nested, depth + 1));
        node.otherwise.push_back(std::move(branch));
        return node;
      }
      SKEP_TRY(close());
      SKEP_TRY_ASSIGN(body, parse_block(depth + 1));
      node.otherwise = std::move(body.nodes);
    }
    if (body.ended_by != Ending::kEnd) {
      return bad(open, fmt::format("this '{}' has no matching {{{{end}}}}", word));
    }
    take();
    take();
    SKEP_TRY(close());
    return node;
  }

  Status close() {
    if (peek().kind != TokenKind::kClose) {
      return bad(peek(), fmt::format("unexpected '{}', expected }}}}", peek().text));
    }
    take();
    return ok();
  }

  Result<Pipeline> parse_pipeline(int depth) {
    Pipeline pipeline;
    if (depth > kDepthMax) {
      return bad(peek(), "parentheses are nested more than 64 deep");
    }
    if (peek().kind == TokenKind::kVariable) {
      const bool pair = peek(1).kind == TokenKind::kComma && peek(2).kind == TokenKind::kVariable;
      const TokenKind after = peek(pair ? 3 : 1).kind;
      if (after == TokenKind::kDeclare || after == TokenKind::kAssign) {
        pipeline.variables.push_back(take().text);
        if (pair) {
          take();
          pipeline.variables.push_back(take().text);
        }
        pipeline.declares = take().kind == TokenKind::kDeclare;
      }
    }
    for (;;) {
      SKEP_TRY_ASSIGN(Command command, parse_command(depth));
      pipeline.commands.push_back(std::move(command));
      if (peek().kind != TokenKind::kPipe) {
        return pipeline;
      }
      take();
    }
  }

  Result<Command> parse_command(int depth) {
    Command command;
    while (peek().kind != TokenKind::kClose && peek().kind != TokenKind::kPipe &&
           peek().kind != TokenKind::kRight) {
      SKEP_TRY_ASSIGN(Operand operand, parse_operand(depth));
      command.push_back(std::move(operand));
    }
    if (command.empty()) {
      return bad(peek(), "a value or function is missing here");
    }
    return command;
  }

  Result<Operand> parse_operand(int depth) {
    const Token& token = take();
    Operand operand{.offset = token.offset};
    if (token.kind == TokenKind::kField) {
      operand.fields.push_back(token.text);
    } else if (token.kind == TokenKind::kVariable) {
      operand.kind = Operand::Kind::kVariable;
      operand.name = token.text;
    } else if (token.kind == TokenKind::kIdentifier) {
      SKEP_TRY(word_operand(token, operand));
    } else if (token.kind == TokenKind::kString) {
      operand.kind = Operand::Kind::kLiteral;
      operand.literal = Value(token.text);
    } else if (token.kind == TokenKind::kNumber) {
      operand.kind = Operand::Kind::kLiteral;
      SKEP_TRY_ASSIGN(operand.literal, number(token));
    } else if (token.kind == TokenKind::kLeft) {
      operand.kind = Operand::Kind::kPipeline;
      SKEP_TRY_ASSIGN(Pipeline inner, parse_pipeline(depth + 1));
      operand.pipeline = std::make_shared<const Pipeline>(std::move(inner));
      if (peek().kind != TokenKind::kRight) {
        return bad(token, "this ( is never closed");
      }
      take();
    } else if (token.kind != TokenKind::kDot) {
      return bad(token, fmt::format("unexpected '{}'", token.text));
    }
    while (peek().kind == TokenKind::kField && !peek().spaced) {
      operand.fields.push_back(take().text);
    }
    return operand;
  }

  Status word_operand(const Token& token, Operand& operand) {
    if (is_keyword(token.text)) {
      return bad(token, fmt::format("'{}' cannot stand here", token.text));
    }
    operand.kind = Operand::Kind::kLiteral;
    if (token.text == "true" || token.text == "false") {
      operand.literal = Value(token.text == "true");
    } else if (token.text != "nil") {
      operand.kind = Operand::Kind::kFunction;
      operand.name = token.text;
    }
    return ok();
  }

  static Result<Value> number(const Token& token) {
    const char* first = token.text.data() + (token.text.starts_with('+') ? 1 : 0);
    const char* last = token.text.data() + token.text.size();
    std::int64_t whole = 0;
    if (const auto [end, error] = std::from_chars(first, last, whole);
        error == std::errc{} && end == last) {
      return Value(whole);
    }
    double real = 0;
    if (const auto [end, error] = std::from_chars(first, last, real);
        error == std::errc{} && end == last) {
      return Value(real);
    }
    return bad(token, fmt::format("'{}' is not a number", token.text));
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int loops_ = 0;
};

}  // namespace

Result<std::vector<Node>> parse(std::string_view source) {
  SKEP_TRY_ASSIGN(std::vector<Token> tokens, lex_template(source));
  return Parser(std::move(tokens)).run();
}

}  // namespace skep::ctl::ast
