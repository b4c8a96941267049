#pragma once

// Splits a template into text and the tokens of its {{actions}}. Internal to template/.

#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"

namespace skep::ctl {

enum class TokenKind {
  kText,        ///< outside of actions
  kOpen,        ///< {{
  kClose,       ///< }}
  kDot,         ///< . alone
  kField,       ///< .Name (text: Name)
  kVariable,    ///< $ or $name
  kIdentifier,  ///< function or keyword
  kString,      ///< text: unquoted
  kNumber,
  kPipe,
  kLeft,
  kRight,
  kDeclare,  ///< :=
  kAssign,   ///< =
  kComma,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  std::size_t offset = 0;
  bool spaced = false;  ///< white space stood before it
};

/// kInvalidArgument with the position when an action is not closed or holds a bad character.
/// The last token is kEnd.
Result<std::vector<Token>> lex_template(std::string_view source);

}  // namespace skep::ctl
