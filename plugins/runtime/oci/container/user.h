#pragma once

// Who a container runs as: "name", "uid", "name:group", "uid:gid" looked up in the image's own
// passwd and group files. Pure: the files come as text, read by root_path.h.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"

namespace skep::oci {

struct User {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups = {};  ///< supplementary, without gid
  std::string home = "/";
};

/// Empty `user` is root. A number need not be listed; a name must be. `extra_groups` are names or
/// numbers. kInvalidArgument names what was not found and in which file.
Result<User> resolve_user(std::string_view user, const std::vector<std::string>& extra_groups,
                          std::string_view passwd, std::string_view group);

}  // namespace skep::oci
