#pragma once

// The key that opens a locked manager, as people keep it: "SWMKEY-1-" and 43 digits of base64.

#include <string>
#include <string_view>

#include "skep/env.h"
#include "skep/result.h"

namespace skep::base {

std::string new_unlock_key(Random& random);
/// The 32 bytes. kInvalidArgument BAD_UNLOCK_KEY, with what is wrong: cut off, not such a key at all.
/// White space around it is ignored.
Result<std::string> parse_unlock_key(std::string_view text);

}  // namespace skep::base
