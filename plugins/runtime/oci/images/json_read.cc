#include "plugins/runtime/oci/images/json_read.h"

#include <boost/json.hpp>

namespace skep::oci::json {
namespace {

namespace bj = boost::json;

Error wrong_type(std::string_view key, std::string_view expected) {
  return Error{Code::kInvalidArgument,
               "'" + std::string(key) + "' is not " + std::string(expected)};
}

const bj::value* find(const bj::object& object, std::string_view key) {
  const bj::value* value = object.if_contains(bj::string_view(key.data(), key.size()));
  return value == nullptr || value->is_null() ? nullptr : value;
}

}  // namespace

Result<bj::object> parse_object(std::string_view text, std::string_view what,
                                std::size_t size_max) {
  if (text.size() > size_max) {
    return Error{Code::kInvalidArgument,
                 std::string(what) + " is larger than " + std::to_string(size_max) + " bytes"};
  }
  bj::error_code error;
  bj::value value = bj::parse(bj::string_view(text.data(), text.size()), error);
  if (error) {
    return Error{Code::kInvalidArgument, std::string(what) + " is not JSON: " + error.message()};
  }
  if (!value.is_object()) {
    return Error{Code::kInvalidArgument, std::string(what) + " is not a JSON object"};
  }
  return std::move(value.get_object());
}

Result<std::string> text(const bj::object& object, std::string_view key) {
  const bj::value* value = find(object, key);
  if (value == nullptr) {
    return std::string();
  }
  if (!value->is_string()) {
    return wrong_type(key, "a text");
  }
  return std::string(value->get_string().data(), value->get_string().size());
}

Result<std::int64_t> integer(const bj::object& object, std::string_view key) {
  const bj::value* value = find(object, key);
  if (value == nullptr) {
    return std::int64_t{0};
  }
  if (!value->is_int64()) {
    return wrong_type(key, "a whole number");
  }
  return value->get_int64();
}

Result<std::vector<std::string>> texts(const bj::object& object, std::string_view key) {
  SKEP_TRY_ASSIGN(const bj::array* const array, list(object, key));
  std::vector<std::string> out;
  if (array == nullptr) {
    return out;
  }
  out.reserve(array->size());
  for (const bj::value& value : *array) {
    if (!value.is_string()) {
      return wrong_type(key, "a list of texts");
    }
    out.emplace_back(value.get_string().data(), value.get_string().size());
  }
  return out;
}

Result<std::vector<std::string>> keys(const bj::object& object, std::string_view key) {
  SKEP_TRY_ASSIGN(const bj::object* const set, member(object, key));
  std::vector<std::string> out;
  if (set != nullptr) {
    for (const auto& entry : *set) {
      out.emplace_back(entry.key().data(), entry.key().size());
    }
  }
  return out;
}

Result<const bj::object*> member(const bj::object& object, std::string_view key) {
  const bj::value* value = find(object, key);
  if (value == nullptr) {
    return static_cast<const bj::object*>(nullptr);
  }
  if (!value->is_object()) {
    return wrong_type(key, "an object");
  }
  return &value->get_object();
}

Result<const bj::array*> list(const bj::object& object, std::string_view key) {
  const bj::value* value = find(object, key);
  if (value == nullptr) {
    return static_cast<const bj::array*>(nullptr);
  }
  if (!value->is_array()) {
    return wrong_type(key, "a list");
  }
  return &value->get_array();
}

}  // namespace skep::oci::json
