#include "core/agentctl/context.h"

namespace skep::ctl {

Result<Client*> Context::agent() {
  if (!client_) {
    SKEP_TRY_ASSIGN(connection_, connect(root));
    client_ = std::make_unique<Client>(*connection_);
  }
  return client_.get();
}

std::string Context::variable(const std::string& name) const {
  const auto it = environment.find(name);
  return it == environment.end() ? "" : it->second;
}

}  // namespace skep::ctl
