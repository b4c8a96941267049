#include "core/control/recovery/incarnation.h"

#include <algorithm>

#include "core/store/disk_state.h"

namespace skep::control {
namespace {

using model::v1::Node;

Error unreadable(const std::string& what) {
  return Error{Code::kDataLoss, what, "NO_CLUSTER_STATE"};
}

/// True when the node is not what it should be in the new incarnation.
bool change_role(Node& node, const Incarnation& wanted) {
  if (node.id() != wanted.node_id) {
    const bool was_manager =
        node.spec().role() == model::v1::NODE_ROLE_MANAGER || node.has_manager_status();
    node.mutable_spec()->set_role(model::v1::NODE_ROLE_WORKER);
    node.clear_manager_status();
    return was_manager;
  }
  node.mutable_spec()->set_role(model::v1::NODE_ROLE_MANAGER);
  auto& status = *node.mutable_manager_status();
  status.set_leader(true);
  status.set_reachability(2);
  status.set_member_id(wanted.member_id);
  if (!wanted.address.empty()) {
    status.set_address(wanted.address);
    node.mutable_status()->set_address(wanted.address.substr(0, wanted.address.rfind(':')));
  }
  return true;
}

store::StateHash hash_of_rows(const std::vector<store::StoredRow>& rows) {
  store::StateHash hash{};
  for (const auto& row : rows) {
    store::add_digest(hash, store::digest_of(row));
  }
  return hash;
}

bool is(const store::StoredRow& row, store::Table table) {
  return row.table == static_cast<std::uint32_t>(table);
}

Status check_cluster(const store::StoredRow& row, const Incarnation& wanted) {
  model::v1::Cluster cluster;
  if (!cluster.ParseFromString(row.object.object())) {
    return unreadable("the swarm's own record in the state cannot be read");
  }
  if (cluster.id() != wanted.cluster_id) {
    return Error{
        Code::kFailedPrecondition,
        "the state is that of swarm '" + cluster.id() + "', not of '" + wanted.cluster_id + "'",
        "WRONG_CLUSTER"};
  }
  return ok();
}

}  // namespace

std::uint64_t next_incarnation(std::uint64_t before, WallTime now) {
  return std::max(before + 1, static_cast<std::uint64_t>(std::max<WallTime>(now, 0)));
}

Result<store::StateBatch> new_incarnation(const store::LoadedState& state,
                                          const Incarnation& wanted) {
  store::StateBatch batch;
  batch.mark.set_index(state.mark.index() + kIncarnationIndexGap);
  batch.mark.set_term(state.mark.term() + kIncarnationTermGap);
  const auto put = [&](const std::string& id, const Node& node, std::int64_t created_at) {
    auto& slot = batch.rows[{static_cast<std::uint32_t>(store::Table::kNode), id}].emplace();
    slot.set_version(batch.mark.index());
    slot.set_created_at(created_at);
    slot.set_updated_at(wanted.now);
    slot.set_object(node.SerializeAsString());
  };
  bool cluster = false;
  bool self = false;
  for (const auto& row : state.rows) {
    if (is(row, store::Table::kCluster)) {
      SKEP_TRY(check_cluster(row, wanted));
      cluster = true;
    }
    if (!is(row, store::Table::kNode)) {
      continue;
    }
    Node node;
    if (!node.ParseFromString(row.object.object())) {
      return unreadable("the record of node '" + row.id + "' in the state cannot be read");
    }
    self = self || row.id == wanted.node_id;
    if (change_role(node, wanted)) {
      put(row.id, node, row.object.created_at());
    }
  }
  if (!cluster) {
    return unreadable("the state holds no swarm (yet)");
  }
  if (!self) {
    Node node;
    node.set_id(wanted.node_id);
    change_role(node, wanted);
    put(wanted.node_id, node, wanted.now);
  }
  std::vector<store::StoredRow> after;
  for (const auto& row : state.rows) {
    if (!batch.rows.contains({row.table, row.id})) {
      after.push_back(row);
    }
  }
  for (const auto& [key, object] : batch.rows) {
    after.push_back({key.first, key.second, *object});
  }
  const store::StateHash hash = hash_of_rows(after);
  batch.mark.set_state_hash_0(hash[0]);
  batch.mark.set_state_hash_1(hash[1]);
  return batch;
}

Status apply_incarnation(store::StateBackend& backend, const Incarnation& wanted) {
  SKEP_TRY_ASSIGN(const store::LoadedState state, backend.open());
  if (hash_of_rows(state.rows) != store::hash_of(state.mark)) {
    return Error{Code::kDataLoss, backend.description() + ": rows are missing or changed",
                 "STATE_DAMAGED"};
  }
  SKEP_TRY_ASSIGN(const store::StateBatch batch, new_incarnation(state, wanted));
  SKEP_TRY(backend.write(batch));
  return backend.sync();
}

}  // namespace skep::control
