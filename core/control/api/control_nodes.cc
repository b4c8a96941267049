// What the control API changes on nodes. See control_api.h.

#include <utility>

#include "core/control/api/commit.h"
#include "core/control/api/lookup.h"

namespace skep::control {

namespace v1 = control::v1;
using model::v1::Node;

void ControlApi::update_node(const v1::UpdateNodeRequest& request, const rpc::CallContext& context,
                             Reply<v1::UpdateNodeResponse> reply) {
  const auto node = find_node(store_.view(), request.ref(), self(context));
  const bool demotes = node && (*node)->spec().role() == model::v1::NODE_ROLE_MANAGER &&
                       request.spec().role() != model::v1::NODE_ROLE_MANAGER;
  if (!demotes) {
    return commit_node(request, context, std::move(reply));
  }
  config_.check_demotion((*node)->id(), [this, request, context, reply, id = (*node)->id(),
                                         alive = std::weak_ptr<char>(alive_)](Status safe) {
    if (alive.expired()) {
      return reply(Error{Code::kUnavailable, "the manager stopped", "MANAGER_STOPPED"});
    }
    safe ? commit_node(request, context, reply)
         : reply(std::move(safe).error().with_context("node '" + id + "' cannot be demoted"));
  });
}

void ControlApi::commit_node(const v1::UpdateNodeRequest& request, const rpc::CallContext& context,
                             Reply<v1::UpdateNodeResponse> reply) {
  auto edit = control::update_node(store_.view(), request, context.operation_id, self(context));
  if (!edit) {
    return reply(std::move(edit).error());
  }
  commit<Node, v1::UpdateNodeResponse>(*std::move(edit), std::move(reply),
                                       [](v1::UpdateNodeResponse& response, Node node) {
                                         *response.mutable_node() = std::move(node);
                                       });
}

void ControlApi::remove_node(const v1::RemoveNodeRequest& request, const rpc::CallContext& context,
                             Reply<v1::RemoveNodeResponse> reply) {
  auto edit = control::remove_node(store_.view(), request, self(context), config_.is_member,
                                   env_.clock.wall_now());
  if (!edit) {
    return reply(std::move(edit).error());
  }
  proposer_.propose(std::move(edit->transaction), [reply](Result<std::uint64_t> result) {
    result ? reply(v1::RemoveNodeResponse()) : reply(std::move(result).error());
  });
}

}  // namespace skep::control
