#include "core/agentctl/template/functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "core/agentctl/template/printf.h"

namespace skep::ctl {
namespace {

using List = Value::List;

Error wrong(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message), "BAD_TEMPLATE"};
}

Status need(std::string_view name, const List& arguments, std::size_t count) {
  if (arguments.size() != count) {
    return wrong(fmt::format("function '{}' takes {} argument{}, not {}", name, count,
                             count == 1 ? "" : "s", arguments.size()));
  }
  return ok();
}

Result<std::string> text_of(std::string_view name, const Value& value) {
  if (const auto* text = value.as_text()) {
    return *text;
  }
  return wrong(fmt::format("function '{}' takes a string, not a {}", name, value.kind_name()));
}

Result<std::int64_t> integer_of(std::string_view name, const Value& value) {
  if (const auto* number = value.as_integer()) {
    return *number;
  }
  return wrong(fmt::format("function '{}' takes an integer, not a {}", name, value.kind_name()));
}

Result<Value> json(const List& a) {
  SKEP_TRY(need("json", a, 1));
  return Value(to_json(a[0]));
}

int to_upper(int c) {
  return std::toupper(c);
}
int to_lower(int c) {
  return std::tolower(c);
}

template <int (*Change)(int)>
Result<Value> change_case(const List& a) {
  SKEP_TRY(need("upper' or 'lower", a, 1));
  SKEP_TRY_ASSIGN(std::string text, text_of("upper' or 'lower", a[0]));
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(Change(c)); });
  return Value(text);
}

Result<Value> title(const List& a) {
  SKEP_TRY(need("title", a, 1));
  SKEP_TRY_ASSIGN(std::string text, text_of("title", a[0]));
  bool start = true;
  for (char& c : text) {
    c = start ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    start = std::isalnum(static_cast<unsigned char>(c)) == 0;
  }
  return Value(text);
}

Result<Value> join(const List& a) {
  SKEP_TRY(need("join", a, 2));
  SKEP_TRY_ASSIGN(const std::string separator, text_of("join", a[1]));
  if (a[0].is_null()) {
    return Value("");
  }
  if (a[0].as_list() == nullptr) {
    return wrong(
        fmt::format("function 'join' takes a list and a separator, not a {}", a[0].kind_name()));
  }
  std::string out;
  for (const Value& item : *a[0].as_list()) {
    out += (&item == a[0].as_list()->data() ? "" : separator) + item.print();
  }
  return Value(out);
}

Result<Value> split(const List& a) {
  SKEP_TRY(need("split", a, 2));
  SKEP_TRY_ASSIGN(const std::string text, text_of("split", a[0]));
  SKEP_TRY_ASSIGN(const std::string separator, text_of("split", a[1]));
  Value parts = Value::list();
  if (separator.empty()) {
    for (const char c : text) {
      parts.add(std::string(1, c));
    }
    return parts;
  }
  std::size_t start = 0;
  for (std::size_t at; (at = text.find(separator, start)) != std::string::npos;
       start = at + separator.size()) {
    parts.add(text.substr(start, at - start));
  }
  return parts.add(text.substr(start));
}

Result<Value> pad(const List& a) {
  SKEP_TRY(need("pad", a, 3));
  SKEP_TRY_ASSIGN(const std::string text, text_of("pad", a[0]));
  SKEP_TRY_ASSIGN(const std::int64_t left, integer_of("pad", a[1]));
  SKEP_TRY_ASSIGN(const std::int64_t right, integer_of("pad", a[2]));
  if (left < 0 || right < 0 || left > 1000 || right > 1000) {
    return wrong("function 'pad' takes widths from 0 to 1000");
  }
  return Value(text.empty() ? ""
                            : std::string(static_cast<std::size_t>(left), ' ') + text +
                                  std::string(static_cast<std::size_t>(right), ' '));
}

Result<Value> truncate(const List& a) {
  SKEP_TRY(need("truncate", a, 2));
  SKEP_TRY_ASSIGN(const std::string text, text_of("truncate", a[0]));
  SKEP_TRY_ASSIGN(const std::int64_t size, integer_of("truncate", a[1]));
  return Value(text.substr(0, static_cast<std::size_t>(std::max<std::int64_t>(size, 0))));
}

Result<Value> print(const List& a) {
  std::string out;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool texts = a[i].as_text() != nullptr || (i > 0 && a[i - 1].as_text() != nullptr);
    out += (i > 0 && !texts ? " " : "") + a[i].print();
  }
  return Value(out);
}

Result<Value> println(const List& a) {
  std::string out;
  for (std::size_t i = 0; i < a.size(); ++i) {
    out += (i > 0 ? " " : "") + a[i].print();
  }
  return Value(out + "\n");
}

Result<Value> printf(const List& a) {
  if (a.empty()) {
    return wrong("function 'printf' takes a format");
  }
  SKEP_TRY_ASSIGN(const std::string format, text_of("printf", a[0]));
  return Value(go_sprintf(format, List(a.begin() + 1, a.end())));
}

Result<Value> len(const List& a) {
  SKEP_TRY(need("len", a, 1));
  if (const auto* text = a[0].as_text()) {
    return Value(text->size());
  }
  if (const auto* items = a[0].as_list()) {
    return Value(items->size());
  }
  if (const auto* members = a[0].as_map()) {
    return Value(members->size());
  }
  if (a[0].is_null()) {
    return Value(0);
  }
  return wrong(
      fmt::format("function 'len' takes a string, list or map, not a {}", a[0].kind_name()));
}

Result<Value> index(const List& a) {
  if (a.empty()) {
    return wrong("function 'index' takes a list or map and its keys");
  }
  Value at = a[0];
  for (std::size_t i = 1; i < a.size(); ++i) {
    if (const auto* items = at.as_list()) {
      SKEP_TRY_ASSIGN(const std::int64_t position, integer_of("index", a[i]));
      if (position < 0 || static_cast<std::size_t>(position) >= items->size()) {
        return wrong(fmt::format("index {} is out of range: the list has {} items", position,
                                 items->size()));
      }
      at = Value((*items)[static_cast<std::size_t>(position)]);
    } else if (at.as_map() != nullptr) {
      SKEP_TRY_ASSIGN(const std::string key, text_of("index", a[i]));
      const Value* member = at.find(key);
      at = member != nullptr ? Value(*member) : at.is_dictionary() ? Value("") : Value();
    } else {
      return wrong(fmt::format("function 'index' takes a list or map, not a {}", at.kind_name()));
    }
  }
  return at;
}

Result<Value> slice(const List& a) {
  if (a.empty() || a.size() > 3) {
    return wrong("function 'slice' takes a string or list and up to two positions");
  }
  SKEP_TRY_ASSIGN(const Value length, len({a[0]}));
  std::int64_t bounds[2] = {0, *length.as_integer()};
  for (std::size_t i = 1; i < a.size(); ++i) {
    SKEP_TRY_ASSIGN(bounds[i - 1], integer_of("slice", a[i]));
  }
  if (bounds[0] < 0 || bounds[0] > bounds[1] || bounds[1] > *length.as_integer()) {
    return wrong(fmt::format("slice {}:{} is out of range 0:{}", bounds[0], bounds[1],
                             *length.as_integer()));
  }
  if (const auto* text = a[0].as_text()) {
    return Value(text->substr(static_cast<std::size_t>(bounds[0]),
                              static_cast<std::size_t>(bounds[1] - bounds[0])));
  }
  if (const auto* items = a[0].as_list()) {
    return Value(List(items->begin() + bounds[0], items->begin() + bounds[1]));
  }
  return wrong("function 'slice' takes a string or a list");
}

Result<Value> negate(const List& a) {
  SKEP_TRY(need("not", a, 1));
  return Value(!a[0].truthy());
}

// <0, 0, >0; kInvalidArgument when the two cannot be compared.
Result<int> compare(const Value& a, const Value& b) {
  const auto number = [](const Value& v) -> const double* { return v.as_number(); };
  if (a.as_text() != nullptr && b.as_text() != nullptr) {
    return a.as_text()->compare(*b.as_text());
  }
  if (a.as_integer() != nullptr && b.as_integer() != nullptr) {
    return *a.as_integer() < *b.as_integer() ? -1 : *a.as_integer() > *b.as_integer() ? 1 : 0;
  }
  if (a.as_bool() != nullptr && b.as_bool() != nullptr) {
    return static_cast<int>(*a.as_bool()) - static_cast<int>(*b.as_bool());
  }
  if (a.is_null() && b.is_null()) {
    return 0;
  }
  if ((number(a) != nullptr || a.as_integer() != nullptr) &&
      (number(b) != nullptr || b.as_integer() != nullptr)) {
    const double x = number(a) != nullptr ? *number(a) : static_cast<double>(*a.as_integer());
    const double y = number(b) != nullptr ? *number(b) : static_cast<double>(*b.as_integer());
    return x < y ? -1 : x > y ? 1 : 0;
  }
  return wrong(fmt::format("a {} and a {} cannot be compared", a.kind_name(), b.kind_name()));
}

Result<Value> eq(const List& a) {
  if (a.size() < 2) {
    return wrong("function 'eq' takes at least two arguments");
  }
  for (std::size_t i = 1; i < a.size(); ++i) {
    if (a[0].is_null() != a[i].is_null()) {
      continue;
    }
    SKEP_TRY_ASSIGN(const int order, compare(a[0], a[i]));
    if (order == 0) {
      return Value(true);
    }
  }
  return Value(false);
}

Result<Value> ne(const List& a) {
  SKEP_TRY(need("ne", a, 2));
  SKEP_TRY_ASSIGN(const Value equal, eq(a));
  return Value(!equal.truthy());
}

template <bool (*Holds)(int)>
Result<Value> order(const List& a) {
  SKEP_TRY(need("lt/le/gt/ge", a, 2));
  SKEP_TRY_ASSIGN(const int result, compare(a[0], a[1]));
  return Value(Holds(result));
}

bool less(int order) {
  return order < 0;
}
bool less_equal(int order) {
  return order <= 0;
}
bool greater(int order) {
  return order > 0;
}
bool greater_equal(int order) {
  return order >= 0;
}

constexpr std::array<std::pair<std::string_view, TemplateFunction>, 21> kFunctions{{
    {"json", json},
    {"upper", change_case<to_upper>},
    {"lower", change_case<to_lower>},
    {"title", title},
    {"join", join},
    {"split", split},
    {"pad", pad},
    {"truncate", truncate},
    {"print", print},
    {"println", println},
    {"printf", printf},
    {"len", len},
    {"index", index},
    {"slice", slice},
    {"not", negate},
    {"eq", eq},
    {"ne", ne},
    {"lt", order<less>},
    {"le", order<less_equal>},
    {"gt", order<greater>},
    {"ge", order<greater_equal>},
}};

}  // namespace

TemplateFunction find_template_function(std::string_view name) {
  for (const auto& [known, function] : kFunctions) {
    if (known == name) {
      return function;
    }
  }
  return nullptr;
}

std::vector<std::string_view> template_function_names() {
  std::vector<std::string_view> names{"and", "or"};
  for (const auto& [name, function] : kFunctions) {
    names.push_back(name);
  }
  return names;
}

}  // namespace skep::ctl
