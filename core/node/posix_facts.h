#pragma once

// Facts about the real machine, from uname and sysconf.

#include "core/node/parts.h"

namespace skep::node {

class PosixNodeFacts final : public NodeFacts {
 public:
  std::string hostname() override;
  model::v1::Platform platform() override;
  /// CPUs online and physical memory.
  model::v1::Resources resources() override;
};

}  // namespace skep::node
