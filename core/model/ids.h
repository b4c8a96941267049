#pragma once

// Identifiers. Objects carry 25 base-36 digits (128 random bits, the shape SwarmKit prints), containers
// 64 hexadecimal digits (the shape Docker prints). Both are drawn from Env's Random only.

#include <string>
#include <string_view>

#include "skep/env.h"

namespace skep::model {

inline constexpr std::size_t kIdLength = 25;
inline constexpr std::size_t kContainerIdLength = 64;

/// 128 random bits as 25 lower-case base-36 digits, padded with '0' on the left.
std::string new_id(Random& random);
/// 64 lower-case hexadecimal digits.
std::string new_container_id(Random& random);
/// True for a string that new_id() could have made.
bool is_id(std::string_view text);
/// The first 12 characters, as tables show ids.
std::string short_id(std::string_view id);

}  // namespace skep::model
