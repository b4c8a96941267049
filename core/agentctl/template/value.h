#pragma once

// The data that templates read and that `inspect` prints: JSON's kinds of value, with members in
// the order they were added, plus functions for placeholders that take an argument
// ({{.Label "zone"}}). Plain values, no sharing, no thread.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "skep/result.h"

namespace skep::ctl {

class Value {
 public:
  struct Member;
  using List = std::vector<Value>;
  using Map = std::vector<Member>;
  using Function = std::function<Result<Value>(const List& arguments)>;

  Value();
  ~Value();
  Value(const Value&);
  Value& operator=(const Value&);
  Value(Value&&) noexcept;
  Value& operator=(Value&&) noexcept;

  Value(std::string_view text);    // NOLINT(google-explicit-constructor)
  Value(const std::string& text);  // NOLINT(google-explicit-constructor)
  Value(const char* text);         // NOLINT(google-explicit-constructor)
  Value(bool flag);                // NOLINT(google-explicit-constructor)
  Value(double number);            // NOLINT(google-explicit-constructor)
  Value(List items);               // NOLINT(google-explicit-constructor)
  Value(Map members);              // NOLINT(google-explicit-constructor)
  template <class Number>
  requires(std::is_integral_v<Number> && !std::is_same_v<Number, bool>)
      Value(Number number)  // NOLINT(google-explicit-constructor)
      : Value(IntegerTag{}, static_cast<std::int64_t>(number)) {}

  static Value object() { return Value(Map{}); }
  /// A map whose keys people choose (labels, options): in templates a key that is not there reads as "".
  static Value dictionary();
  static Value list() { return Value(List{}); }
  static Value function(Function function);

  [[nodiscard]] bool is_null() const;
  [[nodiscard]] const bool* as_bool() const;
  [[nodiscard]] const std::int64_t* as_integer() const;
  [[nodiscard]] const double* as_number() const;
  [[nodiscard]] const std::string* as_text() const;
  [[nodiscard]] const List* as_list() const;
  [[nodiscard]] const Map* as_map() const;
  [[nodiscard]] const Function* as_function() const;
  [[nodiscard]] bool is_dictionary() const { return dictionary_; }

  /// The member `key` of a map, or nullptr.
  [[nodiscard]] const Value* find(std::string_view key) const;
  /// Adds or replaces a member; the value becomes a map when it was null.
  Value& set(std::string_view key, Value value);
  /// Adds the member only when `value` says something (not null, 0, false, "" or empty): the
  /// `omitempty` of Docker's JSON.
  Value& set_given(std::string_view key, Value value);
  /// Appends to a list; the value becomes a list when it was null.
  Value& add(Value value);

  /// Go's idea of true: not null, false, 0, "", or empty.
  [[nodiscard]] bool truthy() const;
  /// How Go's fmt prints it with %v.
  [[nodiscard]] std::string print() const;
  /// "string", "number", "list"...: for messages.
  [[nodiscard]] std::string_view kind_name() const;

 private:
  struct IntegerTag {};
  Value(IntegerTag tag, std::int64_t number);
  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Map, Function> data_;
  bool dictionary_ = false;
};

struct Value::Member {
  std::string key;
  Value value;
};

/// One line of JSON. Functions are left out.
std::string to_json(const Value& value);
/// JSON over many lines, four spaces per level, as Docker's inspect prints it.
std::string to_pretty_json(const Value& value);

}  // namespace skep::ctl
