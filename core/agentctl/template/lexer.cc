#include "core/agentctl/template/lexer.h"

#include <fmt/format.h>

#include <cctype>

namespace skep::ctl {
namespace {

constexpr std::size_t kSourceMax = 64 * 1024;  // a format string is typed by a person

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

Error bad(std::size_t offset, std::string_view what) {
  return Error{Code::kInvalidArgument,
               fmt::format("template: at character {}: {}", offset + 1, what), "BAD_TEMPLATE"};
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> run() {
    if (source_.size() > kSourceMax) {
      return bad(kSourceMax, "longer than 64 KiB");
    }
    while (at_ < source_.size()) {
      const std::size_t open = source_.find("{{", at_);
      push_text(source_.substr(at_, open == std::string_view::npos ? open : open - at_), open);
      if (open == std::string_view::npos) {
        break;
      }
      at_ = open + 2;
      SKEP_TRY(lex_action(open));
    }
    tokens_.push_back({TokenKind::kEnd, "", source_.size(), false});
    return std::move(tokens_);
  }

 private:
  void push_text(std::string_view text, std::size_t open) {
    if (trim_next_) {
      while (!text.empty() && is_space(text.front())) {
        text.remove_prefix(1);
      }
    }
    trim_next_ = false;
    const bool trims_left = open != std::string_view::npos && open + 3 < source_.size() &&
                            source_[open + 2] == '-' && is_space(source_[open + 3]);
    while (trims_left && !text.empty() && is_space(text.back())) {
      text.remove_suffix(1);
    }
    if (!text.empty()) {
      tokens_.push_back({TokenKind::kText, std::string(text), at_, false});
    }
  }

  // at_ stands behind "{{".
  Status lex_action(std::size_t open) {
    if (source_.substr(at_).starts_with("-") && at_ + 1 < source_.size() &&
        is_space(source_[at_ + 1])) {
      at_ += 2;
    }
    if (source_.substr(at_).starts_with("/*")) {
      return lex_comment(open);
    }
    tokens_.push_back({TokenKind::kOpen, "{{", open, false});
    for (;;) {
      const bool spaced = skip_spaces();
      if (at_ >= source_.size()) {
        return bad(open, "this {{ is never closed with }}");
      }
      if (source_.substr(at_).starts_with("}}") ||
          (spaced && source_.substr(at_).starts_with("-}}"))) {
        trim_next_ = source_[at_] == '-';
        tokens_.push_back({TokenKind::kClose, "}}", at_, spaced});
        at_ += trim_next_ ? 3 : 2;
        return ok();
      }
      SKEP_TRY(lex_token(spaced));
    }
  }

  Status lex_comment(std::size_t open) {
    const std::size_t end = source_.find("*/", at_);
    if (end == std::string_view::npos) {
      return bad(open, "this comment is never closed with */}}");
    }
    at_ = end + 2;
    const bool spaced = skip_spaces();
    trim_next_ = spaced && source_.substr(at_).starts_with("-}}");
    if (!trim_next_ && !source_.substr(at_).starts_with("}}")) {
      return bad(at_, "a comment must end with */}}");
    }
    at_ += trim_next_ ? 3 : 2;
    return ok();
  }

  bool skip_spaces() {
    const std::size_t start = at_;
    while (at_ < source_.size() && is_space(source_[at_])) {
      ++at_;
    }
    return at_ > start;
  }

  std::string word_from(std::size_t start) {
    std::size_t end = start;
    while (end < source_.size() && is_word(source_[end])) {
      ++end;
    }
    at_ = end;
    return std::string(source_.substr(start, end - start));
  }

  Status lex_token(bool spaced) {
    const std::size_t start = at_;
    const char c = source_[at_];
    const auto simple = [&](TokenKind kind, std::size_t size) {
      at_ += size;
      tokens_.push_back({kind, std::string(source_.substr(start, size)), start, spaced});
      return ok();
    };
    if (c == '|') {
      return simple(TokenKind::kPipe, 1);
    }
    if (c == '(') {
      return simple(TokenKind::kLeft, 1);
    }
    if (c == ')') {
      return simple(TokenKind::kRight, 1);
    }
    if (c == ',') {
      return simple(TokenKind::kComma, 1);
    }
    if (c == '=') {
      return simple(TokenKind::kAssign, 1);
    }
    if (source_.substr(at_).starts_with(":=")) {
      return simple(TokenKind::kDeclare, 2);
    }
    if (c == '"' || c == '`') {
      return lex_string(c, spaced);
    }
    return lex_word(spaced);
  }

  Status lex_word(bool spaced) {
    const std::size_t start = at_;
    const char c = source_[at_];
    const char next = at_ + 1 < source_.size() ? source_[at_ + 1] : ' ';
    const auto is_digit = [](char d) { return d >= '0' && d <= '9'; };
    if (c == '.' && !is_digit(next)) {
      std::string name = word_from(start + 1);
      const TokenKind kind = name.empty() ? TokenKind::kDot : TokenKind::kField;
      tokens_.push_back({kind, std::move(name), start, spaced});
      return ok();
    }
    if (c == '$') {
      tokens_.push_back({TokenKind::kVariable, "$" + word_from(start + 1), start, spaced});
      return ok();
    }
    if (is_digit(c) || ((c == '-' || c == '+' || c == '.') && (is_digit(next) || next == '.'))) {
      std::size_t end = start + 1;
      while (end < source_.size() && (is_word(source_[end]) || source_[end] == '.')) {
        ++end;
      }
      at_ = end;
      tokens_.push_back(
          {TokenKind::kNumber, std::string(source_.substr(start, end - start)), start, spaced});
      return ok();
    }
    if (is_word(c)) {
      tokens_.push_back({TokenKind::kIdentifier, word_from(start), start, spaced});
      return ok();
    }
    return bad(start, fmt::format("unexpected '{}' in an action", c));
  }

  Status lex_string(char quote, bool spaced) {
    const std::size_t start = at_;
    std::string text;
    for (++at_; at_ < source_.size() && source_[at_] != quote; ++at_) {
      const char c = source_[at_];
      if (c != '\\' || quote == '`') {
        text += c;
        continue;
      }
      if (++at_ >= source_.size()) {
        break;
      }
      switch (source_[at_]) {
        case 'n':
          text += '\n';
          break;
        case 't':
          text += '\t';
          break;
        case 'r':
          text += '\r';
          break;
        case '"':
        case '\\':
        case '\'':
          text += source_[at_];
          break;
        default:
          return bad(at_, fmt::format("unknown escape '\\{}' in a string", source_[at_]));
      }
    }
    if (at_ >= source_.size()) {
      return bad(start, "this string is never closed");
    }
    ++at_;
    tokens_.push_back({TokenKind::kString, std::move(text), start, spaced});
    return ok();
  }

  std::string_view source_;
  std::size_t at_ = 0;
  bool trim_next_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> lex_template(std::string_view source) {
  return Lexer(source).run();
}

}  // namespace skep::ctl
