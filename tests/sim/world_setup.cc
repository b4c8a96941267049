#include "world.h"

namespace skep::sim {

namespace {
constexpr std::size_t kNodesMin = 20;
constexpr std::size_t kServices = 10;
constexpr std::uint64_t kTasksMin = 205;  // wanted at the beginning
const char* const kImages[] = {"app:1", "app:2", "app:3"};
}  // namespace

Duration World::travel(const std::string& from, const std::string& to) {
  const auto realm = [](std::string_view name) { return name.substr(0, name.find('/')); };
  const std::string_view a = realm(from);
  const std::string_view b = realm(to);
  if (a == b) {
    return 0ns;
  }
  if (cut_off_.contains(a) || cut_off_.contains(b)) {
    return Duration(-1);
  }
  const Duration base = between(200us, 3ms);
  return loop_.now() < slow_until_ ? base + between(0ms, 2s) : base;
}

bool World::container_runs(const pb::Task& task) const {
  for (const auto& node : nodes_) {
    if (node->id() == task.node_id()) {
      return node->runs_container_of(task.id());
    }
  }
  return false;
}

bool World::set_up() {
  bus_.set_travel([this](const std::string& from, const std::string& to) { return travel(from, to); });
  bus::v1::Principal local;
  local.set_kind("local");
  local.set_id("0");
  user_ = &bus_.attach("m1/user", "m1", {}, no_methods_, local);
  manager_ = std::make_unique<SimManager>(
      loop_, bus_, rng_.next(), [this](const control::LoopContext& context) {
        return std::make_unique<InvariantLoop>(context, invariants_, trace_);
      });
  if (!bootstrap() || !join_nodes(kNodesMin + rng_.below(6))) {
    return false;
  }
  create_first_services();
  loop_.advance(20s);
  return true;
}

bool World::bootstrap() {
  pb::Cluster cluster;
  cluster.set_id("c1");
  cluster.mutable_spec()->set_name("default");
  cluster.mutable_spec()->set_task_history_limit(5);
  pb::Node self;
  self.set_id("m1");
  self.mutable_spec()->set_role(pb::NODE_ROLE_MANAGER);
  self.mutable_spec()->set_availability(pb::AVAILABILITY_DRAIN);
  bool done = false;
  manager_->manager().bootstrap(cluster, self,
                                [&](const Status& status) { done = status.has_value(); });
  return loop_.run_until([&] { return done; }, 30s);
}

bool World::join_nodes(std::size_t count) {
  store::Transaction joined;
  for (std::size_t i = 1; i <= count; ++i) {
    pb::Node node;
    node.set_id("n" + std::to_string(i));
    (*node.mutable_spec()->mutable_labels())["zone"] = i % 2 == 0 ? "even" : "odd";
    (*node.mutable_spec()->mutable_labels())["rack"] = std::to_string(i % 3);
    joined.put(std::move(node));
  }
  bool committed = false;
  manager_->manager().proposer().propose(
      std::move(joined), [&](const auto& result) { committed = result.has_value(); });
  if (!loop_.run_until([&] { return committed; }, 30s)) {
    return false;
  }
  for (std::size_t i = 1; i <= count; ++i) {
    make_node("n" + std::to_string(i));
  }
  return true;
}

void World::make_node(const std::string& id) {
  auto& node = *nodes_.emplace_back(std::make_unique<SimNode>(id, loop_, bus_, rng_.next()));
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
  for (std::size_t i = 1; i <= kServices; ++i) {
    const pb::ServiceSpec spec = draw_spec(i);
    tasks += tasks_of(spec);
    create_service(spec);
  }
  if (tasks < kTasksMin) {  // What the draw left open.
    pb::ServiceSpec spec = draw_spec(kServices + 1);
    spec.mutable_replicated()->set_replicas(kTasksMin - tasks);
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
    spec.mutable_replicated()->set_replicas(10 + rng_.below(16));
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
