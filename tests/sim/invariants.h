#pragma once

// What must always hold, checked after every commit of the manager, and what must hold once faults
// stopped. The first violation ends the run.

#include <functional>
#include <map>
#include <string>

#include "core/control/control_loop.h"
#include "core/store/view.h"
#include "trace.h"

namespace skep::sim {

namespace pb = model::v1;

class Invariants {
 public:
  /// `runs_somewhere(task id)`: a container of the task is running on its node's machine.
  explicit Invariants(std::function<bool(const pb::Task&)> runs_somewhere)
      : runs_somewhere_(std::move(runs_somewhere)) {}

  /// The operator was told "done": that change is committed.
  void on_acknowledged(std::uint64_t version);
  /// A manager leads (again): everything committed before must be there, and nothing else.
  void on_leading(const store::View& view);
  void on_commit(const store::View& view, const store::Commit& commit, WallTime now);

  [[nodiscard]] bool violated() const { return !violation_.empty(); }
  [[nodiscard]] const std::string& violation() const { return violation_; }
  void violate(const std::string& what) {
    if (violation_.empty()) {
      violation_ = what;
    }
  }
  [[nodiscard]] std::size_t tasks_seen() const { return tasks_seen_; }
  [[nodiscard]] std::size_t commits() const { return commits_; }

 private:
  void check_task(const store::View& view, const pb::Task* before, const pb::Task& after,
                  WallTime now);
  void check_slot(const store::View& view, const pb::Task& started, WallTime now);
  void check_room(const store::View& view, const std::string& node_id);

  using Key = std::pair<std::uint32_t, std::string>;
  std::function<bool(const pb::Task&)> runs_somewhere_;
  std::map<Key, std::uint64_t> mirror_;  // version of every object as committed
  std::uint64_t index_ = 0;              // last commit seen
  std::string violation_;
  std::size_t tasks_seen_ = 0;
  std::size_t commits_ = 0;
};

/// The manager loop that feeds the invariants.
class InvariantLoop final : public control::ControlLoop {
 public:
  InvariantLoop(const control::LoopContext& context, Invariants& invariants, Trace& trace)
      : context_(context), invariants_(invariants), trace_(trace) {}
  void start() override {
    trace_.note(context_.env.loop.now(), "leads", context_.view.applied_index());
    invariants_.on_leading(context_.view);
  }
  void on_commit(const store::Commit& commit) override {
    trace_.note(context_.env.loop.now(), "commit", commit.index);
    for (const store::Event& event : commit.events) {
      trace_.note(context_.env.loop.now(), event.id, static_cast<std::uint64_t>(event.action));
    }
    invariants_.on_commit(context_.view, commit, context_.env.clock.wall_now());
  }
  void stop() override {}

 private:
  control::LoopContext context_;
  Invariants& invariants_;
  Trace& trace_;
};

}  // namespace skep::sim
