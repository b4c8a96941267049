#pragma once

// What must always hold of the cluster's state, checked at every commit of every manager. The first
// violation ends the run.

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "core/store/store.h"
#include "skep/env.h"

namespace skep::sim {

namespace pb = model::v1;

class Invariants {
 public:
  /// `runs_somewhere(task)`: a container of the task is running on its node's machine.
  explicit Invariants(std::function<bool(const pb::Task&)> runs_somewhere)
      : runs_somewhere_(std::move(runs_somewhere)) {}

  /// The operator was told "done": that change is committed.
  void on_acknowledged(std::uint64_t version);
  /// A manager leads and none is known that leads in a later term: it has everything committed.
  void on_leading(const std::string& manager, const store::Store& store);
  /// Whose entry it is: the term it was proposed in, if a log tells, and that of the newest leader.
  struct Origin {
    std::optional<std::uint64_t> term;
    std::uint64_t newest_leader_term = 0;
  };
  /// A manager applied an entry. True when it was the first one.
  bool on_commit(const std::string& manager, const store::Store& store, const store::Commit& commit,
                 const Origin& origin, TimePoint now);
  /// A node that nothing disturbed for so long may not be declared down. Set by the world.
  std::function<bool(const std::string& node)> was_disturbed;
  /// The time that all managers have. Set by the world, unless their clocks jump: then waits may be cut short.
  std::function<WallTime()> managers_time;
  /// Until what a manager decided is committed at the latest, while that manager leads.
  Duration decision_lasts = std::chrono::seconds{10};

  [[nodiscard]] bool violated() const { return !violation_.empty(); }
  [[nodiscard]] const std::string& violation() const { return violation_; }
  void violate(const std::string& what) {
    if (violation_.empty()) {
      violation_ = what;
    }
  }
  [[nodiscard]] std::size_t tasks_seen() const { return tasks_seen_; }
  [[nodiscard]] std::size_t commits() const { return hash_at_.size(); }
  [[nodiscard]] std::uint64_t committed() const { return index_; }

 private:
  struct Return {
    TimePoint at{};
    std::optional<std::uint64_t> term;
  };
  /// What is committed now may have been decided while the node was down.
  [[nodiscard]] bool decided_before(const Return& back, TimePoint now) const;
  void check_node(const pb::Node* before, const pb::Node& after);
  void check_task(const store::View& view, const pb::Task* before, const pb::Task& after,
                  TimePoint now);
  void check_assignment(const store::View& view, const pb::Task& task);
  void check_pace(const pb::Task& created, TimePoint now);
  void check_slot(const store::View& view, const pb::Task& started, TimePoint now);
  void check_room(const store::View& view, const std::string& node_id);

  std::function<bool(const pb::Task&)> runs_somewhere_;
  std::map<std::uint64_t, store::StateHash> hash_at_;  // by entry, as the first manager had it
  std::map<std::string, TimePoint> created_at_;        // tasks
  std::map<std::string, std::deque<TimePoint>> pace_;  // when the newest tasks of a slot were made
  std::map<std::string, Return> back_;                 // nodes that were down
  Origin origin_;                                      // of the commit that is judged
  std::uint64_t index_ = 0;                            // last commit seen
  std::string violation_;
  std::size_t tasks_seen_ = 0;
};

}  // namespace skep::sim
