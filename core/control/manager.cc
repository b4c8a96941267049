// The life of a manager: start, leadership, stop. See manager.h.

#include <algorithm>
#include <utility>

#include "core/control/manager_impl.h"
#include "core/model/defaults.h"
#include "core/store/sealed_backend.h"
#include "skep/log.h"

namespace skep::control {
namespace {

constexpr Duration kLoadRetry = std::chrono::seconds{5};  // while the disk is full
constexpr std::size_t kWaitersMax = 1'024;

ConsensusClient::Config log_config(const ManagerConfig& config) {
  ConsensusClient::Config log;
  log.target = config.consensus_target;
  log.cluster_id = log_identity(config.cluster_id, config.incarnation);
  log.node_id = config.node_id;
  log.member_id = config.member_id;
  log.bootstrap = config.bootstrap;
  log.begins_after_applied = config.begins_at_state;
  log.recover = config.recover;
  log.log_made = config.log_made;
  log.sealer = config.sealer;
  return log;
}

}  // namespace

std::string log_identity(const std::string& cluster_id, std::uint64_t incarnation) {
  return incarnation == 0 ? cluster_id : cluster_id + "." + std::to_string(incarnation);
}

Manager::Impl::Impl(Env& e, rpc::Caller& local, std::shared_ptr<store::StateBackend> b,
                    ManagerConfig c, Handlers h, bus::Peers* p)
    : env(e),
      caller(local),
      config(std::move(c)),
      handlers(std::move(h)),
      peers(p),
      backend(config.sealer == nullptr
                  ? std::move(b)
                  : std::make_shared<store::SealedBackend>(std::move(b), config.sealer, e.random)) {
  disk = std::make_unique<store::DiskState>(
      env, backend, config.disk,
      store::DiskState::Handlers{
          [this](std::uint64_t index, std::uint64_t term) {
            const auto mark = snapshot_marks.synced({index, term});
            client->snapshot_available(mark.index, mark.term);
          },
          [this](const std::string& reason) { disk_trouble_changed(reason); }});
  client = std::make_unique<ConsensusClient>(
      leader_env, caller, store, log_config(config),
      ConsensusClient::Handlers{
          [this](bool leading, std::uint64_t term) { leading ? step_up(term) : step_down(); },
          [this] { answer_start(ok()); }, [this](const Error& error) { fail(error); },
          [this](const auto& members) { members_changed(members); },
          [this](std::uint64_t leader_id) { leader_changed(leader_id); },
          [this] { read_out(); }, handlers.on_log_made});
  health = std::make_unique<SwarmHealth>(
      env, caller, store.view(), *client,
      SwarmHealth::Config{config.consensus_target, config.member_id});
  mail = std::make_unique<RaftMail>(
      caller, peers,
      RaftMail::Config{config.consensus_target, config.member_id, config.address,
                       [this] { removal->suspect(); },
                       [this](std::uint64_t member) { health->heard(member); },
                       [this](std::uint64_t member, const Status& sent) { health->took(member, sent); }});
  removal = std::make_unique<RemovalWatch>(env.loop, peers, *mail, config.member_id,
                                           config.incarnation,
                                           [this](std::uint64_t newest) { removed(newest); });
  mail->set_members(config.join_members);
  state_source = std::make_unique<StateSource>(env, *disk);
  backups = std::make_unique<BackupSource>(*disk, config.sealer, env.random);
  state_fetch =
      std::make_unique<StateFetch>(env, peers, *mail, store, *disk,
                                   StateFetch::Hooks{[this] {
                                                       state_source->drop_all(manager_stopped());
                                                       backups->drop_all(manager_stopped());
                                                       client->hold_entries();
                                                     },
                                                     [this](bool) {
                                                       client->state_replaced();
                                                       state_loaded();
                                                     }});
  forwarder = std::make_unique<Forwarder>(
      env, peers, [this](Duration wait, auto then) { find_leader(wait, std::move(then)); });
  api = std::make_unique<ControlApi>(
      leader_env, caller, store, *client,
      ControlApi::Config{config.node_id,
                         [this](model::v1::Node& node) { add_manager_status(node); },
                         [this](const model::v1::Task& task) { return log_target(task); },
                         [this](const std::string& node_id, auto done) {
                           check_demotion(node_id, std::move(done));
                         },
                         [this](const std::string& node_id) { return is_member(node_id); },
                         [this] { return count_votes(client->members()); },
                         peers == nullptr ? nullptr : peers->https()});
  removals = store.subscribe([this](const store::Commit& commit) {
    for (const auto& event : commit.events) {
      if (event.table == store::Table::kCluster) {
        cluster_changed();
      } else if (event.table == store::Table::kRemovedNode) {
        refuse(event.id, event.after != nullptr);
      }
    }
  });
}

void Manager::Impl::refuse(const std::string& node_id, bool removed) {
  if (peers != nullptr && removed != refused.contains(node_id)) {
    removed ? (void)refused.insert(node_id) : (void)refused.erase(node_id);
    peers->refuse(node_id, removed, config.incarnation);
  }
}

void Manager::Impl::state_loaded() {
  const auto& removed = store.view().all<model::v1::RemovedNode>();
  for (const auto& id : std::set(refused)) {
    refuse(id, removed.contains(id));
  }
  for (const auto& [id, node] : removed) {
    refuse(id, true);
  }
  cluster_changed();
}

void Manager::Impl::cluster_changed() {
  const auto cluster = store.view().cluster();
  if (cluster == nullptr) {
    return;
  }
  const std::uint64_t interval = cluster->spec().snapshot_interval();
  disk->set_sync_entries(interval == 0 ? config.disk.sync_entries : interval);
  snapshot_marks.keep(cluster->spec().snapshots_kept(),
                      interval == 0 ? config.disk.sync_entries : interval);
  if (handlers.on_cluster) {
    handlers.on_cluster(*cluster);
  }
}

void Manager::Impl::start(std::function<void(Status)> done) {
  on_started = std::move(done);
  removal->leader_changed(0);
  load(/*second_try=*/false);
}

void Manager::Impl::load(bool second_try) {
  disk->load(store, [this, second_try, token = std::weak_ptr<char>(alive)](Status status) {
    if (token.expired() || ended) {
      return;
    }
    if (status) {
      if (!disk_trouble.empty()) {
        disk_trouble_changed("");
      }
      state_loaded();
      return client->start();
    }
    if (status.error().retryable()) {
      return load_later(status.error());  // the disk is full or sick just now
    }
    if (status.error().code != Code::kDataLoss || second_try) {
      return fail(std::move(status).error().with_context("manager state"));
    }
    // The log may still hold everything; it refuses to open when it does not.
    set_aside = status.error().message;
    SKEP_ERROR("the saved manager state is damaged; it is set aside and replayed from the log",
               {"reason", set_aside});
    disk->set_aside([this, token](Status moved) {
      if (token.expired() || ended) {
        return;
      }
      moved ? load(/*second_try=*/true) : fail(std::move(moved).error());
    });
  });
}

void Manager::Impl::load_later(const Error& error) {
  disk_trouble_changed(error.message);
  load_timer = env.loop.run_after(kLoadRetry, [this] { load(/*second_try=*/false); });
}

void Manager::Impl::answer_start(Status status) {
  if (auto done = std::exchange(on_started, nullptr)) {
    done(std::move(status));
  }
}

void Manager::Impl::fail(Error error) {
  if (!set_aside.empty()) {
    error.message = set_aside + "; it was set aside, but the log alone cannot rebuild it (" +
                    error.message + ")";
  }
  env.loop.post([this, error = std::move(error), token = std::weak_ptr<char>(alive)] {
    if (token.expired() || ended) {
      return;
    }
    fatal = error;
    const bool starting = on_started != nullptr;
    auto started = std::exchange(on_started, nullptr);
    const auto on_fatal = handlers.on_fatal;
    stop([](Status) {});
    starting ? started(Error(error)) : on_fatal ? on_fatal(error) : void();
  });
}

void Manager::Impl::stop(std::function<void(Status)> done) {
  if (closing->done) {
    return done(ok());
  }
  closing->waiting.push_back(std::move(done));
  if (std::exchange(ended, true)) {
    return;
  }
  if (auto started = std::exchange(on_started, nullptr)) {
    env.loop.post([started = std::move(started)] { started(manager_stopped()); });
  }
  handlers = {};
  step_down();
  env.loop.cancel_timer(std::exchange(load_timer, 0));
  client->stop();
  removal->stop();
  state_fetch->stop();
  state_source->drop_all(manager_stopped());
  backups->drop_all(manager_stopped());
  store.unsubscribe(removals);
  api->end_streams(manager_stopped());
  for (auto& [id, waiter] : std::exchange(waiters, {})) {
    env.loop.cancel_timer(waiter.timer);
    waiter.then(manager_stopped());
  }
  // Posted: whoever is called may drop the manager.
  disk->close([loop = &env.loop, closing = closing](const Status& status) {
    loop->post([closing, status] {
      closing->done = true;
      for (const auto& waiting : std::exchange(closing->waiting, {})) {
        waiting(status);
      }
    });
  });
}

void Manager::Impl::step_up(std::uint64_t term) {
  SKEP_INFO("this manager leads", {"term", term});
  clock.set();
  const LoopContext context{leader_env, store.view(), *client};
  Dispatcher::Settings settings;
  settings.incarnation = config.incarnation;
  settings.leader_epoch = term;
  settings.managers = manager_addresses();
  if (!config.address.empty()) {
    settings.self = config.node_id + "=" + config.address;
  }
  auto service = std::make_unique<DispatcherService>(context, std::move(settings));
  dispatcher = service.get();
  loops.push_back(std::move(service));
  auto roles = std::make_unique<RoleManagerService>(
      context, caller,
      RoleManagerService::Config{config.consensus_target, config.cluster_id, config.incarnation, peers});
  role_manager = roles.get();
  loops.push_back(std::move(roles));
  for (const auto& factory : factories) {
    loops.push_back(factory(context));
  }
  subscription = store.subscribe([this](const store::Commit& commit) {
    for (const auto& loop : loops) {
      loop->on_commit(commit);
    }
  });
  for (const auto& loop : loops) {
    loop->start();
  }
  if (handlers.on_leading) {
    handlers.on_leading(true);
  }
  forwarder->leader_is({.here = true});
  wake_waiters();
}

void Manager::Impl::step_down() {
  if (loops.empty()) {
    return;
  }
  SKEP_INFO("this manager no longer leads");
  store.unsubscribe(std::exchange(subscription, 0));
  dispatcher = nullptr;
  role_manager = nullptr;
  proof.lost();
  api->end_streams(no_leader());
  for (auto it = loops.rbegin(); it != loops.rend(); ++it) {
    (*it)->stop();
  }
  loops.clear();
  if (handlers.on_leading) {
    handlers.on_leading(false);
  }
}

void Manager::Impl::when_leading(Duration wait, std::function<void(Status)> then) {
  wait_until(
      wait, [this] { return dispatcher != nullptr; }, std::move(then));
}

void Manager::Impl::find_leader(Duration wait, std::function<void(Result<LeaderRoute>)> then) {
  wait_until(
      wait, [this] { return leader().has_value(); },
      [this, then = std::move(then)](Status status) {
        status ? then(*leader()) : then(std::move(status).error());
      });
}

void Manager::Impl::wait_until(Duration wait, std::function<bool()> ready,
                               std::function<void(Status)> then) {
  if (ended) {
    return then(fatal ? *fatal : manager_stopped());
  }
  if (ready()) {
    return then(ok());
  }
  if (waiters.size() >= kWaitersMax) {
    return then(health->no_leader(trouble()));
  }
  health->refresh();  // whoever waits in vain is told why
  const std::uint64_t id = ++last_waiter;
  Waiter& waiter = waiters[id];
  waiter.ready = std::move(ready);
  waiter.then = std::move(then);
  waiter.timer = env.loop.run_after(wait, [this, id, token = std::weak_ptr<char>(alive)] {
    if (token.expired()) {
      return;
    }
    if (auto node = waiters.extract(id); !node.empty()) {
      node.mapped().then(health->no_leader(trouble()));
    }
  });
}

void Manager::Impl::wake_waiters() {
  const std::weak_ptr<char> token = alive;
  for (auto it = waiters.begin(); it != waiters.end();) {
    const std::uint64_t id = it->first;
    if (it->second.ready()) {
      auto node = waiters.extract(it);
      env.loop.cancel_timer(node.mapped().timer);
      node.mapped().then(ok());  // may ask again, or drop the manager
      if (token.expired()) {
        return;
      }
    }
    it = waiters.upper_bound(id);
  }
}

void Manager::Impl::bootstrap(model::v1::Cluster cluster, model::v1::Node self,
                              std::function<void(Status)> done) {
  when_leading(std::chrono::seconds{60}, [this, cluster = std::move(cluster),
                                          self = std::move(self),
                                          done = std::move(done)](Status status) mutable {
    if (!status || store.view().cluster() != nullptr) {
      return done(std::move(status));
    }
    store::Transaction transaction;
    transaction.put(std::move(cluster));
    transaction.put(std::move(self));
    client->propose(std::move(transaction), [done = std::move(done)](Result<std::uint64_t> result) {
      done(result ? ok() : Status(std::move(result).error()));
    });
  });
}

void Manager::Impl::disk_trouble_changed(const std::string& reason) {
  if (!reason.empty() && disk_trouble.empty()) {
    SKEP_ERROR("the manager state cannot be saved; trying again", {"reason", reason});
  } else if (reason.empty()) {
    SKEP_INFO("the manager state is saved again");
  }
  disk_trouble = reason;
}

std::string Manager::Impl::trouble() const {
  return disk_trouble.empty() ? client->trouble() : disk_trouble;
}

Result<std::string> Manager::Impl::log_target(const model::v1::Task& task) const {
  if (task.node_id() != config.node_id) {
    return Error{Code::kUnavailable,
                 "node '" + task.node_id() + "' cannot be asked from this manager",
                 "NODE_UNREACHABLE"};
  }
  return "runtime/" + std::string(model::runtime_driver(task.spec()));
}

}  // namespace skep::control
