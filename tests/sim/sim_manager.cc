#include "sim_manager.h"

#include "core/control/standard_loops.h"

namespace skep::sim {

namespace {
bus::v1::Principal principal(const std::string& kind, const std::string& id) {
  bus::v1::Principal made;
  made.set_kind(kind);
  made.set_id(id);
  return made;
}
}  // namespace

SimManager::SimManager(testing::ManualLoop& loop, testing::LocalBus& bus, std::uint64_t seed,
                       control::Manager::LoopFactory watcher)
    : bus_(bus), process_(loop, seed), watcher_(std::move(watcher)) {
  control::Manager::register_methods(core_table_, [this] { return manager_.get(); });
  start();
}

SimManager::~SimManager() {
  if (runs()) {
    crash();
  }
}

void SimManager::start_raft() {
  raft_ = std::make_unique<raft::RaftDriver>();
  raft_table_ = std::make_unique<rpc::MethodTable>();
  bind_driver(*raft_table_, *raft_, process_.env);
  auto& core =
      bus_.attach("m1/raft", "m1", {"consensus/raft"}, *raft_table_, principal("plugin", "raft"));
  plugin::v1::StartRequest start;
  start.set_state_dir("/raft");
  (*start.mutable_config())["segment_kib"] = "64";
  const auto started = raft_->start({process_.env, core, start});
  if (!started) {
    fatal_ = started.error().message;
  }
}

void SimManager::start() {
  if (runs()) {
    return;
  }
  rpc::Caller& caller = bus_.attach("m1/core", "m1", {"core"}, core_table_, principal("core", "m1"));
  start_raft();
  control::ManagerConfig config;
  config.node_id = "m1";
  config.cluster_id = "c1";
  config.member_id = 7;
  if (first_) {
    auto& member = config.bootstrap.emplace_back();
    member.set_id(7);
    member.set_node_id("m1");
    first_ = false;
  }
  manager_ = std::make_unique<control::Manager>(
      process_.env, caller, backend_, config,
      control::Manager::Handlers{[this](const Error& error) { fatal_ = error.message; }, {}});
  for (const control::MakeLoop& make : control::standard_loops()) {
    manager_->add_loop(make);
  }
  manager_->add_loop(watcher_);
  manager_->start([this](const Status& status) {
    if (!status) {
      fatal_ = status.error().message;
    }
  });
}

void SimManager::crash() {
  process_.loop.kill();
  manager_.reset();
  raft_.reset();
  bus_.detach("m1/core");
  bus_.detach("m1/raft");
  process_.disk.crash(process_.random);
  backend_->crash(process_.random);
}

}  // namespace skep::sim
