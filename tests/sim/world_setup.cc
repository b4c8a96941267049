#include "core/base/sealing.h"
#include "world.h"

namespace skep::sim {

namespace {
constexpr Duration kLookAtLogs = 100ms;
const char* const kImages[] = {"app:1", "app:2", "app:3"};
}  // namespace

void World::draw_shape() {
  shape_.wide = seed_ % kWideEvery == 0;
  const std::uint64_t kind = rng_.below(100);
  fault_time_ = shape_.wide ? 10min : between(40s, 90s);
  fault_pause_max_ = shape_.wide ? 6s : between(1s, 8s);
  auto& config = manager_world_.raft_config;
  config["segment_kib"] = "64";
  if (seed_ % kSealedEvery == kSealedEvery - 1) {
    manager_world_.sealer = *base::Sealer::make(std::string(base::kSealKeyBytes, 's'));
    trace_.sealed();
  }
  manager_world_.loops = control::standard_loops();
  manager_world_.find = [this](const std::string& node) -> const control::Manager* {
    const auto found = managers_.find(node);
    return found == managers_.end() ? nullptr : found->second->manager.get();
  };
  if (shape_.wide) {
    shape_.nodes = 20 + rng_.below(6);
    return;
  }
  if (seed_ % kCertifiedEvery == kCertifiedRest) {
    certify();
  }
  shape_.managers = kind < 15 ? 1 : kind < 70 ? 3 : kind < 80 ? 2 + 2 * rng_.below(2) : kind < 97 ? 5 : 7;
  shape_.nodes = 3 + rng_.below(3);
  shape_.services = 3;
  shape_.replicas_least = 1;
  shape_.replicas_more = 4;
  shape_.tasks_least = 10;
  shape_.clients = 3 + rng_.below(2);
  config["tick_ms"] = std::to_string(100 * (1 + rng_.below(3)));
  const std::uint64_t trailing = 5 + rng_.below(60);
  const std::uint64_t snapshot = 10 + rng_.below(100);
  config["trailing_entries"] = std::to_string(trailing);
  config["snapshot_entries"] = std::to_string(snapshot);
  shape_.log_entries_most = 2 * (trailing + snapshot);
  manager_world_.disk.sync_entries = 5 + rng_.below(60);
  manager_world_.disk.sync_after = between(200ms, 5s);
}

void World::certify() {
  const auto running = [this] {
    std::vector<std::string> ids;
    for (const auto& [id, manager] : managers_) {
      if (manager->runs() && !manager->removed) {
        ids.push_back(id);
      }
    }
    return ids;
  };
  certified_ = std::make_unique<CertifiedSwarm>(
      seed_,
      CaOperator::World{loop_, bus_, [this] { return any_user(); }, running,
                        [this](const std::string& name) { fire(name); },
                        [this](const std::string& what) { invariants_.violate(what); }},
      [this](const std::string& from, const std::string& to) { return network_.connects(from, to); });
}

bool World::container_runs(const pb::Task& task) const {
  for (const auto& node : nodes_) {
    if (node->id() == task.node_id()) {
      return node->runs_container_of(task.id());
    }
  }
  return false;
}

World::Manager& World::make_manager(const std::string& id, std::uint64_t member_id) {
  auto& slot = managers_[id];
  slot = std::make_unique<Manager>(manager_world_, id, rng_.next(), member_id);
  slot->on_start = [this](Manager& manager) { watch(manager); };
  if (certified_ != nullptr) {
    slot->on_end = [this](Manager& manager) { certified_->ended(manager.id); };
  }
  return *slot;
}

void World::watch(Manager& manager) {
  judge_flip(manager);
  if (certified_ != nullptr && has_certificates_) {
    certified_->began(manager);
  }
  // The subscription ends with the store.
  auto& store = const_cast<store::Store&>(manager.manager->store());  // NOLINT: to listen only
  store.subscribe([this, &manager, &store](const store::Commit& commit) {
    if (commit.index > invariants_.committed()) {
      look_at_logs();
    }
    const Invariants::Origin origin{raft_invariants_.term_of(commit.index), raft_invariants_.newest_leader_term()};
    if (invariants_.on_commit(manager.id, store, commit, origin, loop_.now())) {
      trace_.note(loop_.now(), "commit", commit.index);
      if (certified_ != nullptr) {
        certified_->on_commit(commit);
      }
      watcher_.on_commit(commit);
      for (const store::Event& event : commit.events) {
        trace_.note(loop_.now(), event.id, static_cast<std::uint64_t>(event.action));
      }
    }
  });
  manager.on_leading = [this, &manager](bool leading) {
    trace_.note(loop_.now(), leading ? "leads" : "leads no more", manager.member_id);
    look_at_logs();
    // One that was overtaken before it knew may lack what its successor committed.
    if (leading && raft_invariants_.newest_leader_term() <= manager.manager->consensus().term()) {
      invariants_.on_leading(manager.id, manager.manager->store());
    }
  };
}

void World::look_at_logs() {
  std::vector<RaftInvariants::Member> members;
  for (const auto& [id, manager] : managers_) {
    if (manager->raft != nullptr && manager->raft->raft() != nullptr && !manager->removed) {
      members.push_back({manager->member_id, manager->raft->raft()});
    }
  }
  raft_invariants_.look(members);
}

void World::look_again() {
  look_at_logs();
  check_logs();
  check_lost_log();
  look_at_flipped_state();
  retire_removed();
  loop_.run_after(kLookAtLogs, [this] { look_again(); });
}

bool World::set_up() {
  std::vector<consensus::v1::Member> first;
  for (std::size_t i = 1; i <= shape_.managers; ++i) {
    auto& member = first.emplace_back();
    member.set_node_id("m" + std::to_string(i));
    member.set_id(100 + i);
    member.set_address(member.node_id() + ":2377");
  }
  next_member_ = 200;
  for (const auto& member : first) {
    make_manager(member.node_id(), member.id()).start(first);
  }
  look_again();
  if (!bootstrap() || !join_nodes()) {
    return false;
  }
  create_first_services();
  loop_.advance(shape_.wide ? 20s : 6s);
  return true;
}

bool World::bootstrap() {
  if (!loop_.run_until([this] { return leader() != nullptr; }, 30s)) {
    return false;
  }
  pb::Cluster cluster;
  cluster.set_id("c1");
  cluster.mutable_spec()->set_name("default");
  cluster.mutable_spec()->set_task_history_limit(shape_.wide ? 5 : rng_.below(4));
  if (certified_ != nullptr) {
    *cluster.mutable_root_ca() = certified_->make_root();
  }
  pb::Node self;
  self.set_id(leader()->id);
  self.mutable_spec()->set_role(pb::NODE_ROLE_MANAGER);
  self.mutable_spec()->set_availability(pb::AVAILABILITY_DRAIN);
  bool done = false;
  leader()->manager->bootstrap(cluster, self,
                               [&](const Status& status) { done = status.has_value(); });
  return loop_.run_until([&] { return done; }, 30s);
}

bool World::join_nodes() {
  Manager* lead = leader();
  if (lead == nullptr) {
    return false;
  }
  store::Transaction joined;
  for (const auto& [id, manager] : managers_) {
    if (lead->view().get<pb::Node>(id) == nullptr) {
      pb::Node node;
      node.set_id(id);
      node.mutable_spec()->set_role(pb::NODE_ROLE_MANAGER);
      node.mutable_spec()->set_availability(pb::AVAILABILITY_DRAIN);
      joined.put(std::move(node));
    }
  }
  for (std::size_t i = 1; i <= shape_.nodes; ++i) {
    pb::Node node;
    node.set_id("n" + std::to_string(i));
    node.mutable_spec()->set_role(pb::NODE_ROLE_WORKER);
    (*node.mutable_spec()->mutable_labels())["zone"] = i % 2 == 0 ? "even" : "odd";
    (*node.mutable_spec()->mutable_labels())["rack"] = std::to_string(i % 3);
    joined.put(std::move(node));
  }
  bool committed = false;
  lead->manager->proposer().propose(
      std::move(joined), [&](const auto& result) { committed = result.has_value(); });
  if (!loop_.run_until([&] { return committed; }, 30s)) {
    return false;
  }
  if (certified_ != nullptr && !give_certificates()) {
    return false;
  }
  for (std::size_t i = 1; i <= shape_.nodes; ++i) {
    make_node("n" + std::to_string(i));
  }
  return true;
}

bool World::give_certificates() {
  Manager* lead = leader();
  std::vector<std::string> ids;
  for (const auto& [id, node] : lead->view().all<pb::Node>()) {
    if (!managers_.contains(id)) {
      ids.push_back(id);
    }
  }
  has_certificates_ = certified_->join(ids, *lead);
  for (const auto& [id, manager] : managers_) {
    certified_->began(*manager);
  }
  return has_certificates_;
}

void World::make_node(const std::string& id) {
  std::vector<std::string> managers;
  for (const auto& [manager, process] : managers_) {
    managers.push_back(manager + "=" + manager + ":2377");
  }
  auto& node = *nodes_.emplace_back(std::make_unique<SimNode>(
      id, loop_, bus_, rng_.next(), managers,
      [this, id](const std::string& to) { return network_.connects(id, to); },
      certified_ == nullptr ? nullptr : &certified_->of(id)));
  for (const char* image : kImages) {
    node.runtime.publish_image(image);
  }
  node.runtime.publish_image("bad:1");
  node.runtime.by_image["bad:1"].runs_for = between(0ms, 3s);
  node.runtime.by_image["bad:1"].exit_code = 1;
  auto& behaviour = node.runtime.behaviour;
  behaviour.pull_latency = between(0ms, 4s);
  behaviour.create_latency = between(0ms, 50ms);
  behaviour.start_latency = between(0ms, 200ms);
  behaviour.stop_latency = between(0ms, 3s);
  behaviour.ignores_stop_signal = rng_.chance(10);
}

std::uint64_t World::tasks_of(const pb::ServiceSpec& spec) const {
  if (!spec.has_global()) {
    return spec.replicated().replicas();
  }
  return spec.task().placement().constraints().empty() ? nodes_.size() : nodes_.size() / 2;
}

void World::create_first_services() {
  std::uint64_t tasks = 0;
  for (std::size_t i = 1; i <= shape_.services; ++i) {
    const pb::ServiceSpec spec = draw_spec(i);
    tasks += tasks_of(spec);
    create_service(spec);
  }
  if (tasks < shape_.tasks_least) {  // What the draw left open.
    pb::ServiceSpec spec = draw_spec(shape_.services + 1);
    spec.clear_global();
    spec.mutable_replicated()->set_replicas(shape_.tasks_least - tasks);
    create_service(spec);
  }
}

pb::ServiceSpec World::draw_spec(std::size_t number) {
  pb::ServiceSpec spec;
  spec.set_name("s" + std::to_string(number));
  auto& task = *spec.mutable_task();
  task.mutable_container()->set_image(kImages[rng_.below(3)]);
  task.mutable_resources()->mutable_reservations()->set_nano_cpus(
      static_cast<std::int64_t>(rng_.below(3)) * 50'000'000);
  task.mutable_restart()->set_delay(between(100ms, 5s).count());
  if (number % 5 == 0) {
    spec.mutable_global();
  } else {
    spec.mutable_replicated()->set_replicas(shape_.replicas_least + rng_.below(shape_.replicas_more));
  }
  if (rng_.chance(30)) {
    task.mutable_placement()->add_constraints("node.labels.zone==even");
  }
  if (rng_.chance(25)) {
    auto& mount = *task.mutable_container()->add_mounts();
    mount.set_type(pb::Mount::VOLUME);
    mount.set_source("data" + std::to_string(number));
    mount.set_target("/data");
  }
  auto& update = *spec.mutable_update();
  update.set_parallelism(rng_.below(5));
  update.set_delay(between(0s, 2s).count());
  update.set_order(rng_.chance(30) ? pb::UpdateConfig::START_FIRST : pb::UpdateConfig::STOP_FIRST);
  update.set_failure_action(static_cast<pb::UpdateConfig::FailureAction>(rng_.below(3)));
  return spec;
}

}  // namespace skep::sim
