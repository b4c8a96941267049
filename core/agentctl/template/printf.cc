#include "core/agentctl/template/printf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

namespace skep::ctl {
namespace {

constexpr int kWidthMax = 1000;

struct Verb {
  bool left = false;
  bool plus = false;
  bool zero = false;
  int width = 0;
  int precision = -1;
  char letter = 'v';
};

// Reads from behind '%' on; `at` ends behind the letter.
std::optional<Verb> parse_verb(std::string_view format, std::size_t& at) {
  Verb verb;
  const auto digits = [&](int& number) {
    number = 0;
    while (at < format.size() && std::isdigit(static_cast<unsigned char>(format[at])) != 0) {
      number = std::min(kWidthMax, number * 10 + (format[at++] - '0'));
    }
  };
  for (; at < format.size(); ++at) {
    const char c = format[at];
    verb.left |= c == '-';
    verb.plus |= c == '+';
    verb.zero |= c == '0';
    if (c != '-' && c != '+' && c != '0' && c != ' ' && c != '#') {
      break;
    }
  }
  digits(verb.width);
  if (at < format.size() && format[at] == '.') {
    ++at;
    digits(verb.precision);
  }
  if (at >= format.size()) {
    return std::nullopt;
  }
  verb.letter = format[at++];
  return verb;
}

std::string hex(std::string_view text, bool upper) {
  std::string out;
  for (const char c : text) {
    out += upper ? fmt::format("{:02X}", static_cast<unsigned char>(c))
                 : fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string signed_text(const Verb& verb, std::string digits) {
  return verb.plus && !digits.starts_with('-') ? "+" + digits : digits;
}

std::optional<std::string> format_integer(const Verb& verb, std::int64_t number) {
  switch (verb.letter) {
    case 'd':
    case 'v':
      return signed_text(verb, std::to_string(number));
    case 'x':
      return fmt::format("{:x}", number);
    case 'X':
      return fmt::format("{:X}", number);
    case 'c':
      return number > 0 && number < 128 ? std::string(1, static_cast<char>(number))
                                        : std::string("?");
    default:
      return std::nullopt;
  }
}

std::optional<std::string> format_number(const Verb& verb, double number) {
  switch (verb.letter) {
    case 'f':
      return signed_text(verb,
                         fmt::format("{:.{}f}", number, verb.precision < 0 ? 6 : verb.precision));
    case 'e':
      return signed_text(verb,
                         fmt::format("{:.{}e}", number, verb.precision < 0 ? 6 : verb.precision));
    case 'g':
    case 'v':
      return signed_text(verb, verb.precision < 0 ? fmt::format("{}", number)
                                                  : fmt::format("{:.{}g}", number, verb.precision));
    default:
      return std::nullopt;
  }
}

std::optional<std::string> format_text(const Verb& verb, const std::string& text) {
  const std::string cut =
      verb.precision < 0 ? text : text.substr(0, static_cast<std::size_t>(verb.precision));
  switch (verb.letter) {
    case 's':
    case 'v':
      return cut;
    case 'q':
      return to_json(Value(cut));
    case 'x':
      return hex(cut, false);
    case 'X':
      return hex(cut, true);
    default:
      return std::nullopt;
  }
}

std::string render(const Verb& verb, const Value& value) {
  std::optional<std::string> text;
  if (const auto* number = value.as_integer()) {
    text = format_integer(verb, *number);
  } else if (const auto* real = value.as_number()) {
    text = format_number(verb, *real);
  } else if (const auto* string = value.as_text()) {
    text = format_text(verb, *string);
  } else if (verb.letter == 'v' || verb.letter == 's' ||
             (verb.letter == 't' && value.as_bool() != nullptr)) {
    text = value.print();
  }
  if (!text) {
    text = fmt::format("%!{}({}={})", verb.letter, value.kind_name(), value.print());
  }
  const auto width = static_cast<std::size_t>(verb.width);
  if (text->size() < width) {
    const bool zeros = verb.zero && !verb.left && value.as_text() == nullptr;
    const std::size_t sign = zeros && (text->starts_with('-') || text->starts_with('+')) ? 1 : 0;
    text->insert(verb.left ? text->size() : sign, width - text->size(), zeros ? '0' : ' ');
  }
  return *text;
}

}  // namespace

std::string go_sprintf(std::string_view format, const Value::List& arguments) {
  std::string out;
  std::size_t used = 0;
  for (std::size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      out += format[at++];
      continue;
    }
    ++at;
    const auto verb = parse_verb(format, at);
    if (!verb) {
      return out + "%!(NOVERB)";
    }
    if (verb->letter == '%') {
      out += '%';
    } else if (used >= arguments.size()) {
      out += fmt::format("%!{}(MISSING)", verb->letter);
    } else {
      out += render(*verb, arguments[used++]);
    }
  }
  for (; used < arguments.size(); ++used) {
    out += fmt::format("%!(EXTRA {}={})", arguments[used].kind_name(), arguments[used].print());
  }
  return out;
}

}  // namespace skep::ctl
