#pragma once

// The options of Docker's local driver (type, o, device), parsed into what mount(2) takes.

#include <cstdint>
#include <map>
#include <string>

#include "skep/result.h"

namespace skep::local {

struct MountSpec {
  std::string type;    ///< file system; "none" for a bind
  std::string device;
  unsigned long flags = 0;  ///< MS_*
  std::string data;    ///< what is left of "o", for the file system
  [[nodiscard]] bool empty() const { return type.empty() && device.empty(); }
};

/// kInvalidArgument: an unknown key, a missing partner (type without device), bad characters.
Result<MountSpec> parse_mount_options(const std::map<std::string, std::string>& options);

/// kInvalidArgument unless `name` is 1 to 255 of [a-zA-Z0-9_.-] and starts with a letter or digit.
Status check_volume_name(const std::string& name);

}  // namespace skep::local
