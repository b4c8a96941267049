// What the control API changes on the swarm itself. See control_api.h.

#include <utility>

#include "core/control/api/cluster_edit.h"
#include "core/control/api/commit.h"
#include "core/control/ca/root_change.h"
#include "core/control/ca/root_rotation.h"

namespace skep::control {

namespace v1 = control::v1;
using model::v1::Cluster;

namespace {
Error stopped() { return {Code::kUnavailable, "the manager stopped", "MANAGER_STOPPED"}; }
}  // namespace

void ControlApi::update_cluster(const v1::UpdateClusterRequest& request,
                                const rpc::CallContext& context,
                                Reply<v1::UpdateClusterResponse> reply) {
  auto edit = control::update_cluster(store_.view(), request, context.operation_id, env_.random);
  if (!edit) {
    return reply(std::move(edit).error());
  }
  const auto before = store_.view().cluster();
  const bool locks = before->unlock_key().empty() || edit->transaction.empty();
  auto tell = [reply, key = locks ? edit->object.unlock_key()
                                  : std::string()](Result<v1::UpdateClusterResponse> response) {
    if (response) {
      response->set_unlock_key(key);
    }
    reply(std::move(response));
  };
  commit<Cluster, v1::UpdateClusterResponse>(
      *std::move(edit), std::move(tell), [](v1::UpdateClusterResponse& response, Cluster cluster) {
        *response.mutable_cluster() = std::move(cluster);
      });
}

void ControlApi::unlock_key(const v1::UnlockKeyRequest& request, const rpc::CallContext& context,
                            Reply<v1::UnlockKeyResponse> reply) {
  v1::UnlockKeyResponse response;
  if (!request.rotate()) {
    const auto cluster = store_.view().cluster();
    response.set_key(cluster == nullptr ? std::string() : cluster->unlock_key());
    return reply(std::move(response));
  }
  auto edit = rotate_unlock_key(store_.view(), context.operation_id, env_.random);
  if (!edit) {
    return reply(std::move(edit).error());
  }
  response.set_key(edit->object.unlock_key());
  if (edit->transaction.empty()) {
    return reply(std::move(response));
  }
  proposer_.propose(std::move(edit->transaction), [reply, response](Result<std::uint64_t> result) {
    result ? reply(response) : reply(std::move(result).error());
  });
}

void ControlApi::rotate_root(const v1::RotateRootRequest& request, const rpc::CallContext& context,
                             const Reply<v1::RotateRootResponse>& reply) {
  const auto cluster = store_.view().cluster();
  if (cluster != nullptr && has_operation(cluster->meta(), context.operation_id)) {
    return commit_root(request, context.operation_id, {}, reply);  // done before: only answers
  }
  auto change = plan_root_change(store_.view(), request, env_.clock);
  if (!change) {
    return reply(std::move(change).error());
  }
  ask_root_change(env_, config_.https, *change,
                  [this, request = change->request, operation_id = context.operation_id, reply,
                   alive = std::weak_ptr<char>(alive_)](Result<OutsideProof> outside) {
                    if (alive.expired() || !outside) {
                      return reply(outside ? stopped() : std::move(outside).error());
                    }
                    commit_root(request, operation_id, *outside, reply);
                  });
}

void ControlApi::commit_root(const v1::RotateRootRequest& request, const std::string& operation_id,
                             const OutsideProof& outside, const Reply<v1::RotateRootResponse>& reply) {
  auto edit = control::rotate_root(store_.view(), request, operation_id, env_.clock.wall_now(), outside);
  if (!edit) {
    return reply(std::move(edit).error());
  }
  const auto answer = [this, reply,
                       alive = std::weak_ptr<char>(alive_)](Result<std::uint64_t> result) {
    if (alive.expired() || !result) {
      return reply(result ? stopped() : std::move(result).error());
    }
    auto status = rotation_status(store_.view());
    if (!status) {
      return reply(std::move(status).error());
    }
    v1::RotateRootResponse response;
    response.set_digest(status->digest());
    reply(std::move(response));
  };
  edit->transaction.empty() ? answer(std::uint64_t{0})
                            : proposer_.propose(std::move(edit->transaction), answer);
}

Result<v1::RootStatusResponse> ControlApi::root_status(const v1::RootStatusRequest& /*request*/,
                                                       const rpc::CallContext& /*context*/) {
  return rotation_status(store_.view());
}

}  // namespace skep::control
