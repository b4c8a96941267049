#include "core/agentctl/template/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>

namespace skep::ctl {

Value::Value() = default;
Value::~Value() = default;
Value::Value(const Value&) = default;
Value& Value::operator=(const Value&) = default;
Value::Value(Value&&) noexcept = default;
Value& Value::operator=(Value&&) noexcept = default;

Value::Value(std::string_view text) : data_(std::string(text)) {}
Value::Value(const std::string& text) : data_(text) {}
Value::Value(const char* text) : data_(std::string(text)) {}
Value::Value(bool flag) : data_(flag) {}
Value::Value(double number) : data_(number) {}
Value::Value(List items) : data_(std::move(items)) {}
Value::Value(Map members) : data_(std::move(members)) {}
Value::Value(IntegerTag /*tag*/, std::int64_t number) : data_(number) {}

Value Value::dictionary() {
  Value value = object();
  value.dictionary_ = true;
  return value;
}

Value Value::function(Function function) {
  Value value;
  value.data_ = std::move(function);
  return value;
}

bool Value::is_null() const {
  return std::holds_alternative<std::monostate>(data_);
}
const bool* Value::as_bool() const {
  return std::get_if<bool>(&data_);
}
const std::int64_t* Value::as_integer() const {
  return std::get_if<std::int64_t>(&data_);
}
const double* Value::as_number() const {
  return std::get_if<double>(&data_);
}
const std::string* Value::as_text() const {
  return std::get_if<std::string>(&data_);
}
const Value::List* Value::as_list() const {
  return std::get_if<List>(&data_);
}
const Value::Map* Value::as_map() const {
  return std::get_if<Map>(&data_);
}
const Value::Function* Value::as_function() const {
  return std::get_if<Function>(&data_);
}

const Value* Value::find(std::string_view key) const {
  const Map* map = as_map();
  if (map == nullptr) {
    return nullptr;
  }
  const auto it =
      std::find_if(map->begin(), map->end(), [&](const Member& m) { return m.key == key; });
  return it == map->end() ? nullptr : &it->value;
}

Value& Value::set(std::string_view key, Value value) {
  if (is_null()) {
    data_ = Map{};
  }
  Map* map = std::get_if<Map>(&data_);
  SKEP_ASSERT(map != nullptr, "members are set on maps only");
  for (Member& member : *map) {
    if (member.key == key) {
      member.value = std::move(value);
      return *this;
    }
  }
  map->push_back(Member{std::string(key), std::move(value)});
  return *this;
}

Value& Value::set_given(std::string_view key, Value value) {
  return value.truthy() ? set(key, std::move(value)) : *this;
}

Value& Value::add(Value value) {
  if (is_null()) {
    data_ = List{};
  }
  List* items = std::get_if<List>(&data_);
  SKEP_ASSERT(items != nullptr, "items are added to lists only");
  items->push_back(std::move(value));
  return *this;
}

bool Value::truthy() const {
  struct Visitor {
    bool operator()(std::monostate) const { return false; }
    bool operator()(bool flag) const { return flag; }
    bool operator()(std::int64_t number) const { return number != 0; }
    bool operator()(double number) const { return number != 0.0; }
    bool operator()(const std::string& text) const { return !text.empty(); }
    bool operator()(const List& items) const { return !items.empty(); }
    bool operator()(const Map& members) const { return !members.empty(); }
    bool operator()(const Function&) const { return true; }
  };
  return std::visit(Visitor{}, data_);
}

std::string Value::print() const {
  struct Visitor {
    std::string operator()(std::monostate) const { return "<nil>"; }
    std::string operator()(bool flag) const { return flag ? "true" : "false"; }
    std::string operator()(std::int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return fmt::format("{}", number); }
    std::string operator()(const std::string& text) const { return text; }
    std::string operator()(const List& items) const {
      std::string text = "[";
      for (const Value& item : items) {
        text += (text.size() > 1 ? " " : "") + item.print();
      }
      return text + "]";
    }
    std::string operator()(const Map& members) const {
      std::string text = "map[";
      for (const Member& member : members) {
        text += (text.size() > 4 ? " " : "") + member.key + ":" + member.value.print();
      }
      return text + "]";
    }
    std::string operator()(const Function&) const { return "<function>"; }
  };
  return std::visit(Visitor{}, data_);
}

std::string_view Value::kind_name() const {
  constexpr std::string_view kNames[] = {"nothing", "bool", "integer", "number",
                                         "string",  "list", "map",     "function"};
  return kNames[data_.index()];
}

namespace {

std::string quoted(const std::string& text) {
  return boost::json::serialize(boost::json::string_view(text));
}

// indent < 0: everything on one line.
void write_json(const Value& value, int indent, std::string& out) {
  const std::string inner =
      indent < 0 ? "" : "\n" + std::string(static_cast<std::size_t>(indent + 4), ' ');
  const std::string outer =
      indent < 0 ? "" : "\n" + std::string(static_cast<std::size_t>(indent), ' ');
  const int next = indent < 0 ? -1 : indent + 4;
  if (const auto* text = value.as_text()) {
    out += quoted(*text);
  } else if (const auto* items = value.as_list()) {
    out += '[';
    for (std::size_t i = 0; i < items->size(); ++i) {
      out += (i > 0 ? "," : "") + inner;
      write_json((*items)[i], next, out);
    }
    out += (items->empty() ? "" : outer) + "]";
  } else if (const auto* members = value.as_map()) {
    bool first = true;
    out += '{';
    for (const Value::Member& member : *members) {
      if (member.value.as_function() != nullptr) {
        continue;
      }
      out += (first ? "" : ",") + inner + quoted(member.key) + (indent < 0 ? ":" : ": ");
      write_json(member.value, next, out);
      first = false;
    }
    out += (first ? "" : outer) + "}";
  } else if (value.is_null() || value.as_function() != nullptr) {
    out += "null";
  } else {
    out += value.print();
  }
}

}  // namespace

std::string to_json(const Value& value) {
  std::string out;
  write_json(value, -1, out);
  return out;
}

std::string to_pretty_json(const Value& value) {
  std::string out;
  write_json(value, 0, out);
  return out;
}

}  // namespace skep::ctl
