#pragma once

// Reading JSON that somebody else wrote: every access says what was expected where. For .cc files.

#include <boost/json/fwd.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"

namespace skep::oci::json {

/// One JSON object of at most `size_max` bytes. kInvalidArgument: "WHAT is not JSON: ...".
Result<boost::json::object> parse_object(std::string_view text, std::string_view what,
                                         std::size_t size_max);

/// Members; a missing or null member is empty, one of another type an error.
Result<std::string> text(const boost::json::object& object, std::string_view key);
Result<std::int64_t> integer(const boost::json::object& object, std::string_view key);
Result<std::vector<std::string>> texts(const boost::json::object& object, std::string_view key);
/// Keys of an object, as Docker writes its sets ({"80/tcp": {}}).
Result<std::vector<std::string>> keys(const boost::json::object& object, std::string_view key);
/// nullptr when missing or null.
Result<const boost::json::object*> member(const boost::json::object& object, std::string_view key);
Result<const boost::json::array*> list(const boost::json::object& object, std::string_view key);

}  // namespace skep::oci::json
