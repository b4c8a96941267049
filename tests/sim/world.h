#pragma once

// One seeded run: a cluster, a phase with faults, a healed phase that must reach the goal. Everything
// happens in one thread and in virtual time; equal seeds give equal runs, which the trace proves.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "invariants.h"
#include "sim_manager.h"
#include "sim_node.h"
#include "trace.h"

namespace skep::sim {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only

struct Outcome {
  std::uint64_t seed = 0;
  std::string violation;  ///< empty: green
  std::size_t nodes = 0;
  std::size_t tasks = 0;
  std::size_t commits = 0;
  std::uint64_t frames = 0;
  double virtual_minutes = 0;
  std::map<std::string, std::size_t> faults;  ///< those that really fired, operator's actions too
  std::uint64_t trace_hash = 0;

  [[nodiscard]] std::size_t faults_fired() const;
  /// Empty: enough happened for the seed to count. Otherwise what there was too little of.
  [[nodiscard]] std::string why_it_does_not_count() const;
};

class World {
 public:
  explicit World(std::uint64_t seed, Trace::Keep keep = Trace::Keep::kHash);
  ~World();
  Outcome run();
  [[nodiscard]] const Trace& trace() const { return trace_; }

 private:
  // world.cc
  [[nodiscard]] bool must_stop();
  void run_healed();
  [[nodiscard]] Outcome outcome();

  // world_setup.cc
  bool set_up();
  [[nodiscard]] bool bootstrap();
  [[nodiscard]] bool join_nodes(std::size_t count);
  void make_node(const std::string& id);
  void create_first_services();
  void create_service(const pb::ServiceSpec& spec);
  [[nodiscard]] pb::ServiceSpec draw_spec(std::size_t number);
  [[nodiscard]] std::uint64_t tasks_of(const pb::ServiceSpec& spec) const;
  [[nodiscard]] Duration travel(const std::string& from, const std::string& to);
  [[nodiscard]] bool container_runs(const pb::Task& task) const;

  // world_faults.cc
  void schedule_faults();
  void one_fault();
  void fire(const std::string& name);
  void break_connection(SimNode& node);
  void partition(SimNode& node);
  void slow_down();
  void lose_node_power(SimNode& node);
  void restart_agent(SimNode& node);
  void crash_manager();
  void end_container(SimNode& node);
  void fail_driver_calls(SimNode& node);
  void restart_driver(SimNode& node);
  void heal();

  // world_operator.cc
  void one_action();
  template <class Method>
  void ask(const typename Method::Request& request);
  template <class Object>
  void note_answer(const Object& answered);
  void update_service(const pb::Service& service, const std::function<bool(pb::ServiceSpec&)>& change,
                      bool rollback);
  void update_node(const std::string& id, pb::Availability availability);
  void repair_services();
  [[nodiscard]] std::string unmet_goal() const;
  [[nodiscard]] std::string unmet_goal_of(const pb::Service& service) const;

  SimNode& any_node() { return *nodes_[rng_.below(nodes_.size())]; }
  Duration between(Duration least, Duration most) {
    return least + Duration(rng_.below(static_cast<std::uint64_t>((most - least).count()) + 1));
  }

  std::uint64_t seed_;
  testing::ManualLoop loop_;
  testing::SeededRandom rng_;
  testing::LocalBus bus_;
  Trace trace_;
  Invariants invariants_;
  rpc::MethodTable no_methods_;
  rpc::Caller* user_ = nullptr;
  std::unique_ptr<SimManager> manager_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::set<std::string> enabled_;        // fault classes of this seed
  std::set<std::string, std::less<>> cut_off_;  // nodes behind a partition
  bool healed_ = false;
  TimePoint slow_until_{};
  Outcome outcome_;
};

}  // namespace skep::sim
