#pragma once

// The scheduler's decider. Fed with the store's events it knows every node's room and every pending
// task; schedule() places what can be placed and explains what cannot. What it placed counts at once,
// so nothing is over-committed while decisions travel through consensus.

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/control/scheduler/filters.h"
#include "core/store/commit.h"

namespace skep::control {

struct Assignment {
  store::Ptr<pb::Task> task;  ///< as pending
  std::string node_id;
};
struct Unplaced {
  store::Ptr<pb::Task> task;
  std::string error;          ///< differs from what the task says now
};
struct Schedule {
  std::vector<Assignment> assignments;
  std::vector<Unplaced> unplaced;
  std::optional<WallTime> wake_at;  ///< an explanation was held back until then
};

class Scheduler {
 public:
  /// Starts over from the view.
  void load(const store::View& view);
  void on_event(const store::Event& event);
  /// Whether schedule() could have anything to do.
  [[nodiscard]] bool has_work() const { return has_work_; }

  /// Places pending tasks. Every assignment is counted until its task's event comes, or settle().
  Schedule schedule(WallTime now);
  /// All decisions were answered: those whose event did not come did not happen.
  void settle(const store::View& view);

  [[nodiscard]] std::size_t pending() const;

 private:
  using TaskKey = std::pair<std::uint64_t, std::string>;  // slot, id
  struct Group {
    std::map<TaskKey, store::Ptr<pb::Task>> tasks;
    bool tried = false;              // nothing fitted and nothing changed since
    std::string explanation;
    WallTime explained_at = 0;
  };

  void add_pending(const store::Ptr<pb::Task>& task);
  void drop_pending(const pb::Task& task);
  void put_task(const store::Ptr<pb::Task>& before, const store::Ptr<pb::Task>& after);
  void room_changed();
  void place_group(const GroupKey& key, Group& group, WallTime now, Schedule& schedule);
  void place_preassigned(Schedule& schedule);
  void assign(const store::Ptr<pb::Task>& task, const std::string& node_id, Schedule& schedule);
  void explain(const Requirements& wanted, Group& group, WallTime now, Schedule& schedule);

  NodeSet nodes_;
  std::map<GroupKey, Group> groups_;
  std::map<std::string, store::Ptr<pb::Task>> preassigned_;  // global tasks, only validated
  std::unordered_map<std::string, pb::Task> assumed_;        // decided, not yet seen; node set
  bool has_work_ = false;
};

/// The task as it is written once it has a node.
pb::Task assigned_task(const Assignment& assignment, WallTime now);
/// The task with the reason why it waits.
pb::Task unplaced_task(const Unplaced& unplaced, WallTime now);

}  // namespace skep::control
