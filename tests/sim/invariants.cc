#include "invariants.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "core/model/constraint.h"
#include "core/model/defaults.h"
#include "core/model/resources.h"
#include "core/model/task_state.h"

namespace skep::sim {

namespace {

// What fails again and again is tried ever more rarely, and an operator changes a service only now and then.
constexpr std::size_t kTasksOfSlotMost = 40;
constexpr Duration kTasksOfSlotWithin = std::chrono::minutes{1};

std::string words(pb::TaskState state) {
  return std::string(model::task_state_name(state));
}

}  // namespace

void Invariants::on_leading(const std::string& manager, const store::Store& store) {
  if (store.applied_index() < index_) {
    violate("committed changes were lost: " + manager + " leads with entry " +
            std::to_string(store.applied_index()) + ", but " + std::to_string(index_) +
            " was committed");
  }
  const auto next = hash_at_.upper_bound(store.applied_index());
  if (next != hash_at_.begin() && std::prev(next)->second != store.state_hash()) {
    violate(manager + " leads with another state than was committed at entry " +
            std::to_string(std::prev(next)->first));
  }
}

void Invariants::on_acknowledged(std::uint64_t version) {
  if (version == 0 || version > index_) {
    violate("change " + std::to_string(version) + " was acknowledged, but only " +
            std::to_string(index_) + " are committed");
  }
}

bool Invariants::on_commit(const std::string& manager, const store::Store& store,
                           const store::Commit& commit, const Origin& origin, TimePoint now) {
  const auto [known, first] = hash_at_.try_emplace(commit.index, store.state_hash());
  if (!first) {
    if (known->second != store.state_hash()) {
      violate("state of " + manager + " differs at entry " + std::to_string(commit.index));
    }
    return false;
  }
  if (commit.index < index_) {
    violate("entry " + std::to_string(commit.index) + " changed something on " + manager +
            ", but nothing on others");
  }
  index_ = commit.index;
  origin_ = origin;
  const store::View& view = store.view();
  std::set<std::string> nodes;
  for (const store::Event& event : commit.events) {
    if (const auto* after = event.after_as<pb::Task>()) {
      if (event.action == store::Action::kCreated) {
        ++tasks_seen_;
        created_at_[event.id] = now;
        check_pace(*after, now);
      }
      check_task(view, event.before_as<pb::Task>(), *after, now);
      nodes.insert(after->node_id());
    } else if (const auto* gone = event.before_as<pb::Task>();
               gone != nullptr && event.after == nullptr && runs_somewhere_(*gone)) {
      violate("task " + gone->id() + " was forgotten while its container runs");
    } else if (const auto* node = event.after_as<pb::Node>()) {
      const auto* before = event.before_as<pb::Node>();
      check_node(before, *node);
      if (before != nullptr && before->status().state() == pb::NODE_STATE_DOWN) {
        back_[event.id] = {now, origin.term};
      }
    }
  }
  for (const std::string& node : nodes) {
    check_room(view, node);
  }
  return true;
}

void Invariants::check_node(const pb::Node* before, const pb::Node& after) {
  const bool goes_down = before != nullptr && before->status().state() != pb::NODE_STATE_DOWN &&
                         after.status().state() == pb::NODE_STATE_DOWN;
  if (goes_down && was_disturbed && !was_disturbed(after.id())) {
    violate("node " + after.id() + " was declared down, but nothing kept it from the managers");
  }
}

void Invariants::check_task(const store::View& view, const pb::Task* before, const pb::Task& after,
                            TimePoint now) {
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
  if (!after.node_id().empty() && (before == nullptr || before->node_id().empty())) {
    check_assignment(view, after);
  }
  const bool starts = after.desired_state() == pb::TASK_STATE_RUNNING &&
                      (before == nullptr || before->desired_state() < pb::TASK_STATE_RUNNING);
  if (starts) {
    check_slot(view, after, now);
  }
  if (starts && managers_time && managers_time() < after.start_not_before()) {
    violate("task " + after.id() + " may run " + std::to_string(after.start_not_before() - managers_time()) +
            " ns before its restart delay is over");
  }
  const bool ended = model::is_terminal(after.status().state()) &&
                     after.status().state() != pb::TASK_STATE_ORPHANED;
  if (ended && runs_somewhere_(after)) {
    violate("task " + after.id() + " is " + words(after.status().state()) +
            " but its container runs");
  }
}

/// Labels of nodes do not change here, so what held when it was decided holds when it is committed.
void Invariants::check_assignment(const store::View& view, const pb::Task& task) {
  const auto node = view.get<pb::Node>(task.node_id());
  const auto constraints = model::parse_constraints(task.spec().placement().constraints());
  if (node != nullptr && constraints) {
    if (const auto* broken = model::first_mismatch(*constraints, *node)) {
      violate("task " + task.id() + " was given to node " + node->id() + " against " + broken->text);
    }
  }
}

void Invariants::check_pace(const pb::Task& created, TimePoint now) {
  auto& pace = pace_[created.service_id() + "/" + std::to_string(created.slot()) + "/" +
                     (created.slot() == 0 ? created.node_id() : std::string())];
  pace.push_back(now);
  if (pace.size() > kTasksOfSlotMost) {
    if (now - pace.front() < kTasksOfSlotWithin) {
      violate("restart storm: " + std::to_string(pace.size()) + " tasks within a minute in slot " +
              std::to_string(created.slot()) + " of service " + created.service_id());
    }
    pace.pop_front();
  }
}

bool Invariants::decided_before(const Return& back, TimePoint now) const {
  if (origin_.term && back.term && *origin_.term > *back.term) {
    return false;  // a new leader applies all there is before it decides anything
  }
  // What a leader left in its log is committed by the next one, whenever that is.
  const bool left_behind = origin_.term && *origin_.term < origin_.newest_leader_term;
  return left_behind || now - back.at <= decision_lasts;
}

void Invariants::check_slot(const store::View& view, const pb::Task& started, TimePoint now) {
  const auto service = view.get<pb::Service>(started.service_id());
  if (service == nullptr ||
      service->spec().update().order() == pb::UpdateConfig::START_FIRST) {
    return;
  }
  const Duration waited = now - created_at_[started.id()];
  for (const auto& [id, other] : view.tasks_of_slot(store::slot_key(started))) {
    if (id == started.id() || model::is_terminal(other->status().state())) {
      continue;
    }
    // The documented limit of waiting for a predecessor.
    const Duration grace = model::stop_grace(other->spec().container()) + model::kStopGrace;
    if (waited >= std::max(Duration(model::kOldTaskWait), grace)) {
      continue;
    }
    const auto node = view.get<pb::Node>(other->node_id());
    const auto back = back_.find(other->node_id());
    const bool reachable = node != nullptr && node->status().state() != pb::NODE_STATE_DOWN &&
                           (back == back_.end() || !decided_before(back->second, now));
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
