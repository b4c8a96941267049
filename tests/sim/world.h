#pragma once

// One seeded run: a cluster, a phase with faults, a healed phase that must reach the goal. Everything
// happens in one thread and in virtual time; equal seeds give equal runs, which the trace proves.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "certified_swarm.h"
#include "invariants.h"
#include "network.h"
#include "outcome.h"
#include "raft_invariants.h"
#include "register_clients.h"
#include "sim_node.h"
#include "tests/rig/manager_process.h"
#include "trace.h"
#include "watch_client.h"

namespace skep::sim {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals only

class World {
 public:
  explicit World(std::uint64_t seed, Trace::Keep keep = Trace::Keep::kHash);
  ~World();
  Outcome run();
  [[nodiscard]] const Trace& trace() const { return trace_; }
  [[nodiscard]] const std::vector<lin::Operation>& history() const { return clients_.history(); }

 private:
  using Manager = rig::ManagerProcess;

  // world.cc
  [[nodiscard]] bool must_stop();
  void run_with_faults();
  void run_healed();
  /// How long the goal must hold once it is reached.
  [[nodiscard]] Duration goal_holds() const;
  void check_history();
  void check_logs();
  [[nodiscard]] Outcome outcome();

  // world_setup.cc
  void draw_shape();
  void certify();
  bool set_up();
  [[nodiscard]] bool bootstrap();
  [[nodiscard]] bool join_nodes();
  [[nodiscard]] bool give_certificates();
  void make_node(const std::string& id);
  Manager& make_manager(const std::string& id, std::uint64_t member_id);
  void watch(Manager& manager);
  void create_first_services();
  void create_service(const pb::ServiceSpec& spec);
  [[nodiscard]] pb::ServiceSpec draw_spec(std::size_t number);
  [[nodiscard]] std::uint64_t tasks_of(const pb::ServiceSpec& spec) const;
  [[nodiscard]] bool container_runs(const pb::Task& task) const;
  /// At moments that may be worth it, and every 100 ms.
  void look_at_logs();
  void look_again();

  // world_faults.cc: of nodes and of everybody
  void schedule_faults();
  void one_fault();
  void fire(const std::string& name);
  void break_connection(SimNode& node);
  void slow_down();
  void lose_messages();
  void partition();
  void cut_shape(const std::vector<std::string>& everybody);
  void lose_node_power(SimNode& node);
  void restart_agent(SimNode& node);
  void end_container(SimNode& node);
  void fail_driver_calls(SimNode& node);
  void restart_driver(SimNode& node);
  void heal();

  // world_later_faults.cc
  void schedule_later_faults();
  void one_later_fault();
  void jump_node_clock(SimNode& node);
  void slow_disk_down();
  [[nodiscard]] bool has_slow_disks() const { return later_enabled_.contains("disk slow"); }
  [[nodiscard]] bool hands_over_for_its_disk(raft::MemberId member);

  // world_managers.cc
  void stop_some_manager(bool power);
  void pause_manager();
  void jump_clock();
  void fail_disk();
  void look_at_sick_disk(const std::string& id, bool power);
  void fill_disk();
  void restart_raft();
  void stop_manager(Manager& manager, bool power);
  void start_later(Manager& manager, Duration after);
  void tell_gone(const std::string& gone);
  void heal_managers();
  Manager* any_manager(bool running);
  /// Half of the time the one that leads, if any does.
  Manager* victim();
  [[nodiscard]] Manager* leader() const;
  [[nodiscard]] rpc::Caller* any_user();
  [[nodiscard]] std::vector<rpc::Caller*> users() const;

  // world_members.cc
  void change_members();
  void set_role(const std::string& id, pb::NodeRole role, std::function<void()> then);
  void transfer_leadership();
  void retire_removed();
  void retire(Manager& manager);
  void join(const std::string& id, int tries);

  // world_lost_log.cc
  void lose_log();
  void bring_back_lost_log();
  void check_lost_log();
  [[nodiscard]] bool may_lose_log(const Manager& manager) const;
  /// Without its log or with a damaged one; also: perhaps it will be.
  [[nodiscard]] bool is_lost(const Manager& manager) const;
  [[nodiscard]] bool is_hurt(const Manager& manager) const;
  /// What it told means that it gave up because of its lost log, as it should.
  [[nodiscard]] bool is_told_as_lost(const Manager& manager, const std::string& told) const;

  // world_flips.cc
  void flip_bit();
  bool flip_in_log(Manager& manager);
  bool flip_in_state(Manager& manager);
  void judge_flip(Manager& manager);
  void judge_flip_in_log(Manager& manager);
  void look_at_flipped_state();

  // world_operator.cc
  void one_action();
  template <class Method>
  void ask(const typename Method::Request& request);
  template <class Object>
  void note_answer(const Object& answered) {
    invariants_.on_acknowledged(answered.meta().version());
  }
  void update_service(const pb::Service& service, const std::function<bool(pb::ServiceSpec&)>& change,
                      bool rollback);
  void update_node(const std::string& id, pb::Availability availability);
  void repair_services();
  [[nodiscard]] std::string unmet_goal() const;
  [[nodiscard]] std::string unmet_goal_of(const pb::Service& service) const;
  [[nodiscard]] std::string unmet_goal_of_managers() const;

  SimNode& any_node() { return *nodes_[rng_.below(nodes_.size())]; }
  Duration between(Duration least, Duration most) {
    return least + Duration(rng_.below(static_cast<std::uint64_t>((most - least).count()) + 1));
  }
  void disturb(const std::string& node) { disturbed_[node] = loop_.now(); }
  void disturb_all() { all_disturbed_ = loop_.now(); }

  std::uint64_t seed_;
  testing::ManualLoop loop_;
  testing::SeededRandom rng_;
  testing::LocalBus bus_;
  Trace trace_;
  Invariants invariants_;
  RaftInvariants raft_invariants_;
  Network network_;
  RegisterClients clients_;
  WatchClient watcher_;
  Shape shape_;
  rpc::MethodTable no_methods_;
  rig::ManagerWorld manager_world_;
  std::map<std::string, std::unique_ptr<Manager>> managers_;
  std::unique_ptr<CertifiedSwarm> certified_;  // nullptr: a swarm without certificates
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::set<std::string> joining_;
  struct LostLog {
    std::string id;
    std::uint64_t member_id = 0;
  };
  std::optional<LostLog> lost_log_;   // or damaged; until it votes again, under another id
  struct Flip {
    std::string id;
    std::uint64_t number = 0;
    std::string path;  // empty: a row of the state
    std::uint64_t offset = 0;
    unsigned char mask = 0;
    unsigned char now = 0;
    bool read = false;  // the state was opened since
  };
  std::optional<Flip> flip_;  // that nobody came upon yet
  std::uint64_t flips_ = 0;
  std::set<std::string> sick_disks_;  // of managers that may give up because of it
  std::set<std::string> enabled_;     // fault classes of this seed
  testing::SeededRandom later_rng_{0};
  std::set<std::string> later_enabled_;
  std::set<std::string> slow_disks_;  // of managers
  std::map<std::string, TimePoint> other_reason_;  // that a manager had to hand over: an operator, a full disk
  Duration fault_time_{};
  Duration fault_pause_max_{};
  bool has_certificates_ = false;  // from then on nobody is without
  bool healed_ = false;
  TimerId heal_network_ = 0;
  std::uint64_t next_member_ = 0;
  std::map<std::string, TimePoint> disturbed_;
  TimePoint all_disturbed_{};
  Outcome outcome_;  // what nobody else counts
};

}  // namespace skep::sim
