#pragma once

// Real network namespaces, pinned by a bind mount at DIRECTORY/ID so that they outlive this process.
// A namespace is made in a short thread of its own, because unshare() changes its thread for good;
// loops and workers never change theirs.

#include <string>

#include "core/node/parts.h"

namespace skep::node {

class PosixSandboxMaker final : public SandboxMaker {
 public:
  /// `directory`: RUN_DIR/sandbox; made when missing. Needs CAP_SYS_ADMIN.
  PosixSandboxMaker(Env& env, std::string directory);

  void make(const std::string& id, std::function<void(Result<std::string>)> done) override;
  void remove(const std::string& id, std::function<void(Status)> done) override;
  void list(std::function<void(Result<std::vector<std::string>>)> done) override;

 private:
  Env& env_;
  const std::string directory_;
};

}  // namespace skep::node
