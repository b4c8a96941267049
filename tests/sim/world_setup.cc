#include "skep/control.methods.h"
#include "world.h"

namespace skep::sim {

namespace {
constexpr std::size_t kNodesMin = 20;
constexpr std::size_t kServices = 10;
const char* const kImages[] = {"app:1", "app:2", "app:3"};
}  // namespace

Duration World::travel(const std::string& from, const std::string& to) {
  const auto realm = [](const std::string& name) { return name.substr(0, name.find('/')); };
  const std::string a = realm(from);
  const std::string b = realm(to);
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
      const auto* container = node->runtime.find_by_label("com.docker.swarm.task.id", task.id());
      return container != nullptr &&
             container->info.state() == runtime::v1::CONTAINER_STATE_RUNNING;
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
        return std::make_unique<InvariantLoop>(context, invariants_);
      });
  pb::Cluster cluster;
  cluster.set_id("c1");
  cluster.mutable_spec()->set_name("default");
  cluster.mutable_spec()->set_task_history_limit(5);
  pb::Node self;
  self.set_id("m1");
  self.mutable_spec()->set_role(pb::NODE_ROLE_MANAGER);
  self.mutable_spec()->set_availability(pb::AVAILABILITY_DRAIN);
  bool bootstrapped = false;
  manager_->manager().bootstrap(cluster, self,
                                [&](const Status& status) { bootstrapped = status.has_value(); });
  if (!loop_.run_until([&] { return bootstrapped; }, 30s)) {
    return false;
  }
  const std::size_t count = kNodesMin + rng_.below(6);
  store::Transaction joined;
  for (std::size_t i = 1; i <= count; ++i) {
    pb::Node node;
    node.set_id("n" + std::to_string(i));
    (*node.mutable_spec()->mutable_labels())["zone"] = i % 2 == 0 ? "even" : "odd";
    joined.put(std::move(node));
  }
  bool committed = false;
  manager_->manager().proposer().propose(
      std::move(joined), [&](const auto& result) { committed = result.has_value(); });
  if (!loop_.run_until([&] { return committed; }, 30s)) {
    return false;
  }
  for (std::size_t i = 1; i <= count; ++i) {
    auto& node = *nodes_.emplace_back(
        std::make_unique<SimNode>("n" + std::to_string(i), loop_, bus_, rng_.next()));
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
  for (std::size_t i = 1; i <= kServices; ++i) {
    create_service(i);
  }
  loop_.advance(20s);
  return true;
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
  auto& update = *spec.mutable_update();
  update.set_parallelism(rng_.below(5));
  update.set_delay(between(0s, 2s).count());
  update.set_order(rng_.chance(30) ? pb::UpdateConfig::START_FIRST : pb::UpdateConfig::STOP_FIRST);
  update.set_failure_action(static_cast<pb::UpdateConfig::FailureAction>(rng_.below(3)));
  return spec;
}

void World::create_service(std::size_t number) {
  control::v1::CreateServiceRequest request;
  *request.mutable_spec() = draw_spec(number);
  rpc::call<control::v1::methods::CreateService>(*user_, "core", request, {.deadline = 30s},
                                                 [](const auto&) {});
}

}  // namespace skep::sim
