#include "tests/rig/manager_process.h"

#include <utility>

#include "core/control/ca/ca_api.h"

namespace skep::rig {

/// For methods, which stay while processes come and go.
class ManagerProcess::PeersNow final : public bus::Peers {
 public:
  explicit PeersNow(const std::unique_ptr<LocalPeers>& peers) : peers_(peers) {}
  rpc::Caller& to(const std::string& node_id, const std::string& address) override {
    return peers_->to(node_id, address);
  }
  void refuse(const std::string& node_id, bool refused, std::uint64_t incarnation) override {
    peers_->refuse(node_id, refused, incarnation);
  }
  void set_on_gone(std::function<void(const std::string&)> on_gone) override {
    peers_->set_on_gone(std::move(on_gone));
  }

 private:
  const std::unique_ptr<LocalPeers>& peers_;
};

ManagerProcess::ManagerProcess(ManagerWorld& world, std::string its_id, std::uint64_t seed,
                               std::uint64_t its_member_id)
    : id(std::move(its_id)), process(world.loop, seed), raft_loop(world.loop, process), member_id(its_member_id),
      world_(world), raft_disk_(process.disk, [this](Duration time) {
        raft_loop.busy_for(time / 2 + Duration(process.random.below(static_cast<std::uint64_t>(time.count()))));
      }),
      raft_env_{raft_loop, process.random, raft_loop, process.workers, raft_disk_, process.subprocess},
      peers_now_(std::make_unique<PeersNow>(peers)) {
  control::Manager::register_methods(core_table_, [this] { return manager.get(); });
  control::register_ca_methods(core_table_, process.env, *peers_now_, [this] { return manager.get(); });
}

ManagerProcess::~ManagerProcess() { kill(); }

Status ManagerProcess::start_raft() {
  raft = std::make_unique<raft::RaftDriver>();
  raft_table_ = std::make_unique<rpc::MethodTable>();
  bind_driver(*raft_table_, *raft, raft_env_);
  auto& core = world_.bus.attach(id + "/raft", id, {"consensus/raft"}, *raft_table_,
                                 who("plugin", "raft"), &raft_loop);
  plugin::v1::StartRequest request;
  request.set_state_dir("/raft");
  for (const auto& [key, value] : world_.raft_config) {
    (*request.mutable_config())[key] = value;
  }
  auto started = raft->start({raft_env_, core, request});
  if (started && manager != nullptr) {
    manager->consensus_seen(++raft_incarnation_);
  }
  return started;
}

void ManagerProcess::kill_raft() {
  raft_loop.kill();
  raft.reset();
  world_.bus.detach(id + "/raft");
}

void ManagerProcess::start(std::vector<consensus::v1::Member> bootstrap) {
  if (runs()) {
    return;
  }
  fatal.clear();
  auto& caller =
      world_.bus.attach(id + "/core", id, {"core"}, core_table_, who("core", id), &process.loop);
  user = &world_.bus.attach(id + "/user", id, {}, no_methods_, who("local", "0"));
  peers = std::make_unique<LocalPeers>(
      world_.bus, process.loop,
      LocalPeers::Options{.node = id, .connects = [this](const std::string& to) {
                            return world_.connects(id, to);
                          },
                          .refuses = [this](const std::string& to) {
                            return world_.refuses ? world_.refuses(id, to) : std::nullopt;
                          },
                          .still_manager = [this](const std::string& to, std::string_view method) {
                            const auto* asked = world_.find ? world_.find(to) : nullptr;
                            return asked == nullptr || asked->is_manager(id, method);
                          }});
  if (const auto started = start_raft(); !started) {
    fatal = started.error().message;
  }
  control::ManagerConfig config;
  config.node_id = id;
  config.cluster_id = kClusterId;
  config.member_id = member_id;
  config.address = id + ":2377";
  config.bootstrap = std::move(bootstrap);
  config.join_members = join_members;
  config.log_made = log_made;
  config.disk = world_.disk;
  config.sealer = sealer != nullptr ? sealer : world_.sealer;
  control::Manager::Handlers handlers;
  handlers.on_fatal = [this](const Error& error) { fatal = error.message; };
  handlers.on_removed = [this] { removed = true; };
  handlers.on_log_made = [this] {
    log_made = true;
    return ok();
  };
  handlers.on_cluster = [this](const model::v1::Cluster&) { ++clusters_told; };
  handlers.on_leading = [this](bool leading) {
    step_ups += leading ? 1 : 0;
    if (on_leading) {
      on_leading(leading);
    }
  };
  if (tune) {
    tune(config, handlers);
  }
  manager = std::make_unique<control::Manager>(process.env, caller, backend, std::move(config),
                                               std::move(handlers), peers.get());
  peers->on_removed = [this](const std::string& by, std::uint64_t incarnation) {
    manager->refused_by(by, incarnation);
  };
  peers->on_gone = [this](const std::string& gone) { manager->peer_gone(gone); };
  for (const auto& loop : world_.loops) {
    manager->add_loop(loop);
  }
  if (on_start) {
    on_start(*this);
  }
  manager->start([this](const Status& status) {
    if (!status && status.error().reason != "MANAGER_STOPPED") {
      status.error().reason == "MEMBER_REMOVED" ? (void)(removed = true)
                                                : (void)(fatal = status.error().message);
    }
  });
  manager->consensus_seen(++raft_incarnation_);
}

void ManagerProcess::end(std::shared_ptr<store::MemoryBackend> survives) {
  // What the objects do while they are destroyed, a process that is killed does not do.
  process.loop.kill();
  raft_loop.kill();
  if (on_end) {
    on_end(*this);
  }
  manager.reset();
  raft.reset();
  peers.reset();
  // The driver's first: its table calls an object that is gone.
  for (const char* part : {"/raft", "/core", "/user"}) {
    world_.bus.detach(id + part);
  }
  user = nullptr;
  process.loop.kill();  // what they posted meanwhile
  raft_loop.kill();
  backend = std::move(survives);
}

void ManagerProcess::kill() {
  if (runs()) {
    end(std::make_shared<store::MemoryBackend>(*backend));
  }
}

void ManagerProcess::lose_power() {
  if (!runs()) {
    return;
  }
  auto survives = std::make_shared<store::MemoryBackend>(*backend);
  survives->crash(process.random);
  process.disk.crash(process.random);  // open files fail from now on
  end(std::move(survives));
}

void ManagerProcess::slow_disk_down(Duration sync_takes) {
  raft_disk_.sync_takes = sync_takes;
  process.workers.delay = sync_takes;
}

void ManagerProcess::lose_log() {
  SKEP_ASSERT(!runs(), "an open log is not lost");
  process.disk.fail_call(0, {});
  SKEP_ASSERT(process.disk.remove_tree("/raft").has_value(), "nothing makes it fail now");
  SKEP_ASSERT(process.disk.sync_directory("/").has_value(), "nothing makes it fail now");
}

void ManagerProcess::wipe(std::uint64_t new_member_id) {
  kill();
  lose_log();  // also of what makes the disk fail: an agent that cannot wipe does not join
  log_made = false;
  backend = std::make_shared<store::MemoryBackend>();
  member_id = new_member_id;
  removed = false;
  fatal.clear();
}

}  // namespace skep::rig
