#pragma once

// Which manager leads.

#include <string>

namespace skep::control {

struct LeaderRoute {
  bool here = false;
  std::string node_id = {};  ///< when not here
  std::string address = {};  ///< "HOST:PORT"
};

}  // namespace skep::control
