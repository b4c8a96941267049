#pragma once

// A slot as deciders work on it: its tasks as they are in the store, with the changes of one
// decision laid over them. What is written comes out as one transaction, so a slot never loses its
// old task without gaining the new one.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/control/orchestrator/decision.h"
#include "core/model/constraint.h"
#include "core/store/view.h"

namespace skep::control {

/// Everything a decider needs besides the slot. References outlive the decision.
struct ServiceContext {
  const store::View& view;
  const pb::Service& service;
  WallTime now;
  Random& random;
  /// Answers of is_up_to_date() that many tasks share: equal versions have equal specs.
  mutable std::map<std::uint64_t, bool> version_is_current = {};
  mutable std::optional<std::vector<model::Constraint>> constraints = std::nullopt;
  /// Stamps before it, and those of the future, are perhaps of another manager's clock.
  WallTime leading_since = 0;

  /// Since when, at the latest, something stamped with `stamp` is so, on this manager's clock: waits
  /// counted from there are never too short, and never much longer than they should be.
  [[nodiscard]] WallTime surely_since(WallTime stamp) const {
    return stamp >= leading_since && stamp <= now ? stamp : leading_since;
  }
  /// The same where a wait may be too short: only stamps of the future are not believed.
  [[nodiscard]] WallTime since(WallTime stamp) const { return stamp <= now ? stamp : leading_since; }

  /// Service modes that run to completion.
  [[nodiscard]] bool is_job() const {
    return service.spec().has_replicated_job() || service.spec().has_global_job();
  }
  /// What tasks are raised to when they may run.
  [[nodiscard]] pb::TaskState target_state() const {
    return is_job() ? pb::TASK_STATE_COMPLETE : pb::TASK_STATE_RUNNING;
  }
};

/// Says that a task shall stop: raises its desired state to `desired` (shutdown or remove). A task no
/// node was ever told of has then stopped already.
void request_stop(pb::Task& task, pb::TaskState desired, WallTime now);
/// The node is gone, down or drained: its tasks need a place elsewhere.
bool node_is_invalid(const pb::Node* node);

class Slot {
 public:
  struct Entry {
    store::Ptr<pb::Task> original;    // null for a task this decision makes
    std::optional<pb::Task> edited;

    [[nodiscard]] const pb::Task& task() const { return edited ? *edited : *original; }
    [[nodiscard]] pb::Task& edit() {
      if (!edited) {
        edited = *original;
      }
      return *edited;
    }
    [[nodiscard]] bool created() const { return original == nullptr; }
  };

  Slot(std::uint64_t number, std::string node_id) : number_(number), node_id_(std::move(node_id)) {}

  [[nodiscard]] std::uint64_t number() const { return number_; }
  /// Of a global service's slot; empty otherwise.
  [[nodiscard]] const std::string& node_id() const { return node_id_; }

  /// Newest first. Tasks given up by a scale-down are kept apart in leaving().
  [[nodiscard]] std::vector<Entry>& entries() { return entries_; }
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  void add(store::Ptr<pb::Task> task);
  /// After the last add().
  void sort();

  [[nodiscard]] const pb::Task* newest() const;
  /// The newest task that is wanted and alive, or nullptr.
  [[nodiscard]] const pb::Task* runnable() const;
  [[nodiscard]] std::size_t runnable_count() const;
  /// A wanted task runs (or, of a job, ran to its end).
  [[nodiscard]] bool is_running() const;

  /// Puts a new task of the service into the slot. It waits (desired ready) until `start_not_before`
  /// and until what leaves the slot has stopped. `spec_of`: keep the version of this task; nullptr
  /// takes the service's present one.
  pb::Task& create_task(const ServiceContext& context, WallTime start_not_before,
                        const pb::Task* spec_of);
  /// Stops every wanted task and marks the slot's tasks as history.
  void give_up(WallTime now);
  /// Raises tasks that waited long enough; tells when to look again.
  void promote(const ServiceContext& context, Decision& decision);
  /// All changes of this slot.
  [[nodiscard]] store::Transaction take_changes();

 private:
  [[nodiscard]] bool must_wait_for(const ServiceContext& context, const pb::Task& leaving,
                                   const pb::Task& waiting, Decision& decision) const;

  std::uint64_t number_;
  std::string node_id_;
  std::vector<Entry> entries_;
  std::vector<store::Ptr<pb::Task>> leaving_;  // alive, but their slot was given up
};

/// Slots by number (replicated, jobs) or node (global).
using SlotKey = std::pair<std::uint64_t, std::string>;
using Slots = std::map<SlotKey, Slot>;

enum class SlotsBy { kNumber, kNode };
/// Groups the service's tasks. Tasks that shall be removed are left out.
Slots collect_slots(const ServiceContext& context, SlotsBy by);

}  // namespace skep::control
