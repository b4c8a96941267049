// What the control API changes on nodes. See control_api.h.

#include <utility>

#include "core/control/api/commit.h"
#include "core/control/api/lookup.h"

namespace skep::control {

namespace v1 = control::v1;
using model::v1::Node;

namespace {
constexpr int kDemoteTries = 4;
}  // namespace

void ControlApi::update_node(const v1::UpdateNodeRequest& request, const rpc::CallContext& context,
                             Reply<v1::UpdateNodeResponse> reply) {
  const auto node = find_node(store_.view(), request.ref(), self(context));
  const bool demotes = node && (*node)->spec().role() == model::v1::NODE_ROLE_MANAGER &&
                       request.spec().role() != model::v1::NODE_ROLE_MANAGER;
  demotes ? try_demote(request, context, (*node)->id(), kDemoteTries, std::move(reply))
          : commit_node(request, context, std::move(reply));
}

void ControlApi::try_demote(const v1::UpdateNodeRequest& request, const rpc::CallContext& context,
                            const std::string& id, int tries_left, Reply<v1::UpdateNodeResponse> reply) {
  config_.check_demotion(id, [this, request, context, id, tries_left, reply,
                              alive = std::weak_ptr<char>(alive_)](Status safe) {
    if (alive.expired()) {
      return reply(Error{Code::kUnavailable, "the manager stopped", "MANAGER_STOPPED"});
    }
    if (!safe) {
      return reply(std::move(safe).error().with_context("node '" + id + "' cannot be demoted"));
    }
    commit_node(request, context, [=, this](Result<v1::UpdateNodeResponse> result) {
      // It met another demotion, or what else touches the Cluster object: judged anew.
      if (!result && result.error().code == Code::kConflict && tries_left > 1 && !alive.expired()) {
        return try_demote(request, context, id, tries_left - 1, reply);
      }
      reply(std::move(result));
    });
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
