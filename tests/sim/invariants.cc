#include "invariants.h"

#include <algorithm>
#include <set>

#include "core/model/defaults.h"
#include "core/model/resources.h"
#include "core/model/task_state.h"

namespace skep::sim {

namespace {

template <class T>
void list_versions(const store::View& view, std::map<std::pair<std::uint32_t, std::string>, std::uint64_t>& out) {
  for (const auto& [id, object] : view.all<T>()) {
    out[{static_cast<std::uint32_t>(store::TableOf<T>::kTable), id}] = object->meta().version();
  }
}

std::string words(pb::TaskState state) {
  return std::string(model::task_state_name(state));
}

}  // namespace

void Invariants::on_leading(const store::View& view) {
  std::map<Key, std::uint64_t> present;
  list_versions<pb::Cluster>(view, present);
  list_versions<pb::Node>(view, present);
  list_versions<pb::Service>(view, present);
  list_versions<pb::Task>(view, present);
  if (view.applied_index() < index_) {
    violate("committed changes were lost: index " + std::to_string(view.applied_index()) +
            " after a restart, " + std::to_string(index_) + " before");
  }
  for (const auto& [key, version] : mirror_) {
    const auto found = present.find(key);
    // What came into the log at the very end may have been committed without our seeing it.
    if (view.applied_index() == index_ && (found == present.end() || found->second != version)) {
      violate("committed change of object '" + key.second + "' was lost in a restart");
    }
    if (found != present.end() && found->second < version) {
      violate("object '" + key.second + "' went back to version " + std::to_string(found->second));
    }
  }
  mirror_ = std::move(present);
  index_ = view.applied_index();
}

void Invariants::on_acknowledged(std::uint64_t version) {
  if (version == 0 || version > index_) {
    violate("change " + std::to_string(version) + " was acknowledged, but only " +
            std::to_string(index_) + " are committed");
  }
}

void Invariants::on_commit(const store::View& view, const store::Commit& commit, WallTime now) {
  ++commits_;
  index_ = commit.index;
  std::set<std::string> nodes;
  for (const store::Event& event : commit.events) {
    const Key key(static_cast<std::uint32_t>(event.table), event.id);
    if (event.action == store::Action::kRemoved) {
      mirror_.erase(key);
    } else {
      mirror_[key] = commit.index;
    }
    if (const auto* after = event.after_as<pb::Task>()) {
      tasks_seen_ += event.action == store::Action::kCreated ? 1 : 0;
      check_task(view, event.before_as<pb::Task>(), *after, now);
      nodes.insert(after->node_id());
    } else if (const auto* gone = event.before_as<pb::Task>();
               gone != nullptr && event.after == nullptr && runs_somewhere_(*gone)) {
      violate("task " + gone->id() + " was forgotten while its container runs");
    }
  }
  for (const std::string& node : nodes) {
    check_room(view, node);
  }
}

void Invariants::check_task(const store::View& view, const pb::Task* before, const pb::Task& after,
                            WallTime now) {
  if (before != nullptr) {
    if (after.status().state() < before->status().state()) {
      violate("task " + after.id() + " went back from " + words(before->status().state()) + " to " +
              words(after.status().state()));
    }
    if (after.desired_state() < before->desired_state()) {
      violate("desired state of task " + after.id() + " went back");
    }
    if (!before->node_id().empty() && before->node_id() != after.node_id()) {
      violate("task " + after.id() + " moved from one node to another");
    }
  }
  const bool starts = after.desired_state() == pb::TASK_STATE_RUNNING &&
                      (before == nullptr || before->desired_state() < pb::TASK_STATE_RUNNING);
  if (starts) {
    check_slot(view, after, now);
  }
  const bool ended = model::is_terminal(after.status().state()) &&
                     after.status().state() != pb::TASK_STATE_ORPHANED;
  if (ended && runs_somewhere_(after)) {
    violate("task " + after.id() + " is " + words(after.status().state()) +
            " but its container runs");
  }
}

void Invariants::check_slot(const store::View& view, const pb::Task& started, WallTime now) {
  const auto service = view.get<pb::Service>(started.service_id());
  if (service == nullptr ||
      service->spec().update().order() == pb::UpdateConfig::START_FIRST) {
    return;
  }
  const WallTime waited = now - started.meta().created_at();
  if (waited >= Duration(model::kOldTaskWait).count()) {
    return;  // The documented limit of waiting for a predecessor.
  }
  for (const auto& [id, other] : view.tasks_of_slot(store::slot_key(started))) {
    if (id == started.id() || model::is_terminal(other->status().state()) ||
        other->desired_state() >= pb::TASK_STATE_REMOVE) {
      continue;
    }
    const auto node = view.get<pb::Node>(other->node_id());
    const bool reachable = node != nullptr && node->status().state() != pb::NODE_STATE_DOWN;
    if (reachable && other->desired_state() >= pb::TASK_STATE_RUNNING) {
      violate("task " + started.id() + " may run while task " + id + " of its slot is " +
              words(other->status().state()));
    }
  }
}

void Invariants::check_room(const store::View& view, const std::string& node_id) {
  const auto node = view.get<pb::Node>(node_id);
  if (node == nullptr || node->description().resources().nano_cpus() == 0) {
    return;
  }
  model::Amounts left = model::capacity_of(*node);
  for (const auto& [id, task] : view.tasks_of_node(node_id)) {
    if (model::occupies_node(*task)) {
      left -= model::reservations_of(task->spec());
    }
  }
  if (left.nano_cpus < 0 || left.memory_bytes < 0) {
    violate("node " + node_id + " is over-committed by " + std::to_string(-left.nano_cpus) +
            " nano CPUs");
  }
}

}  // namespace skep::sim
