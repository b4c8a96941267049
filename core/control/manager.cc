#include "core/control/manager.h"

#include <utility>

#include "core/control/api/control_api.h"
#include "core/control/dispatcher/dispatcher_service.h"
#include "core/model/defaults.h"
#include "skep/log.h"

namespace skep::control {
namespace {

constexpr Duration kRequestWait = std::chrono::seconds{10};  // for a leader, right after a start
constexpr Duration kLoadRetry = std::chrono::seconds{5};     // while the disk is full
constexpr std::size_t kWaitersMax = 1'024;

Error no_manager() {
  return Error{Code::kFailedPrecondition,
               "this node is not a swarm manager; run 'swarm init' here or ask a manager",
               "NOT_A_MANAGER"};
}
Error no_leader() {
  return Error{Code::kUnavailable, "the swarm has no leader now; try again in a moment",
               "NO_LEADER"};
}
Error stopped() {
  return Error{Code::kUnavailable, "the manager stopped", "MANAGER_STOPPED"};
}

}  // namespace

class Manager::Impl {
 public:
  Impl(Env& e, rpc::Caller& caller, std::shared_ptr<store::StateBackend> b, ManagerConfig c,
       Handlers h)
      : env(e), config(std::move(c)), handlers(std::move(h)), backend(std::move(b)) {
    disk = std::make_unique<store::DiskState>(
        env, backend, config.disk,
        store::DiskState::Handlers{
            [this](std::uint64_t index, std::uint64_t term) {
              client->snapshot_available(index, term);
            },
            [this](const std::string& reason) { disk_trouble_changed(reason); }});
    client = std::make_unique<ConsensusClient>(
        env, caller, store,
        ConsensusClient::Config{config.consensus_target, config.cluster_id, config.node_id,
                                config.member_id, config.bootstrap},
        ConsensusClient::Handlers{
            [this](bool leading, std::uint64_t term) { leading ? step_up(term) : step_down(); },
            [this] { answer_start(ok()); },
            [this](const Error& error) { fail(error); },
            {}});
    api = std::make_unique<ControlApi>(
        env, caller, store, *client,
        ControlApi::Config{config.node_id,
                           [this](model::v1::Node& node) { add_manager_status(node); },
                           [this](const model::v1::Task& task) { return log_target(task); }});
  }

  void start(std::function<void(Status)> done);
  void load(bool second_try);
  void load_later(const Error& error);
  void stop(std::function<void(Status)> done);
  void step_up(std::uint64_t term);
  void step_down();
  void fail(Error error);
  void answer_start(Status status);
  void when_leading(Duration wait, std::function<void(Status)> then);
  void bootstrap(model::v1::Cluster cluster, model::v1::Node self,
                 std::function<void(Status)> done);
  void disk_trouble_changed(const std::string& reason);
  [[nodiscard]] std::string trouble() const;
  void add_manager_status(model::v1::Node& node) const;
  [[nodiscard]] Result<std::string> log_target(const model::v1::Task& task) const;

  struct Waiter {
    std::function<void(Status)> then;
    TimerId timer = 0;
  };

  Env& env;
  const ManagerConfig config;
  Handlers handlers;
  const std::shared_ptr<store::StateBackend> backend;
  store::Store store;
  std::unique_ptr<store::DiskState> disk;
  std::unique_ptr<ConsensusClient> client;
  std::unique_ptr<ControlApi> api;
  std::vector<LoopFactory> factories;
  std::vector<std::unique_ptr<ControlLoop>>
      loops;  // only while leading; the dispatcher is the first
  DispatcherService* dispatcher = nullptr;
  store::SubscriptionId subscription = 0;
  std::map<std::uint64_t, Waiter> waiters;
  std::uint64_t last_waiter = 0;
  std::function<void(Status)> on_started;
  std::optional<Error> fatal;  // why this manager stopped by itself
  TimerId load_timer = 0;
  std::string disk_trouble;
  std::string set_aside;  // why the saved state was not used
  std::uint64_t consensus_incarnation = 0;  // last seen
  bool ended = false;
  std::shared_ptr<char> alive = std::make_shared<char>();
};

void Manager::Impl::start(std::function<void(Status)> done) {
  on_started = std::move(done);
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
                    error.message + "); restore a backup of the state directory";
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
  if (std::exchange(ended, true)) {
    return done(ok());
  }
  if (auto started = std::exchange(on_started, nullptr)) {
    env.loop.post([started = std::move(started)] { started(stopped()); });
  }
  handlers = {};
  step_down();
  env.loop.cancel_timer(std::exchange(load_timer, 0));
  client->stop();
  api->end_streams(stopped());
  for (auto& [id, waiter] : std::exchange(waiters, {})) {
    env.loop.cancel_timer(waiter.timer);
    waiter.then(stopped());
  }
  // Posted: whoever is called may drop the manager.
  disk->close([loop = &env.loop, done = std::move(done)](Status status) {
    loop->post([done, status = std::move(status)] { done(status); });
  });
}

void Manager::Impl::step_up(std::uint64_t term) {
  SKEP_INFO("this manager leads", {"term", term});
  const LoopContext context{env, store.view(), *client};
  Dispatcher::Settings settings;
  settings.leader_epoch = term;
  if (!config.address.empty()) {
    settings.managers.push_back(config.node_id + "=" + config.address);
  }
  auto service = std::make_unique<DispatcherService>(context, std::move(settings));
  dispatcher = service.get();
  loops.push_back(std::move(service));
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
  for (auto& [id, waiter] : std::exchange(waiters, {})) {
    env.loop.cancel_timer(waiter.timer);
    waiter.then(ok());
  }
}

void Manager::Impl::step_down() {
  if (loops.empty()) {
    return;
  }
  SKEP_INFO("this manager no longer leads");
  store.unsubscribe(std::exchange(subscription, 0));
  dispatcher = nullptr;
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
  if (ended) {
    return then(fatal ? *fatal : stopped());
  }
  if (dispatcher != nullptr) {
    return then(ok());
  }
  if (waiters.size() >= kWaitersMax) {
    return then(no_leader());
  }
  const std::uint64_t id = ++last_waiter;
  Waiter& waiter = waiters[id];
  waiter.then = std::move(then);
  waiter.timer = env.loop.run_after(wait, [this, id, token = std::weak_ptr<char>(alive)] {
    if (token.expired()) {
      return;
    }
    if (auto node = waiters.extract(id); !node.empty()) {
      Error error = no_leader();
      if (const std::string why = trouble(); !why.empty()) {
        error.message += " (" + why + ")";
      }
      node.mapped().then(std::move(error));
    }
  });
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

void Manager::Impl::add_manager_status(model::v1::Node& node) const {
  for (const auto& member : client->members()) {
    if (member.node_id() != node.id()) {
      continue;
    }
    auto& status = *node.mutable_manager_status();
    status.set_member_id(member.id());
    status.set_address(member.address());
    status.set_leader(member.id() == client->leader_id());
    status.set_reachability(member.id() == config.member_id ? 2 : 0);
  }
}

Result<std::string> Manager::Impl::log_target(const model::v1::Task& task) const {
  if (task.node_id() != config.node_id) {
    return Error{Code::kUnavailable,
                 "node '" + task.node_id() + "' cannot be asked from this manager",
                 "NODE_UNREACHABLE"};
  }
  return "runtime/" + std::string(model::runtime_driver(task.spec()));
}

Manager::Manager(Env& env, rpc::Caller& caller, std::shared_ptr<store::StateBackend> backend,
                 ManagerConfig config, Handlers handlers)
    : impl_(std::make_unique<Impl>(env, caller, std::move(backend), std::move(config),
                                   std::move(handlers))) {}

Manager::~Manager() {
  impl_->stop([](Status) {});
}

void Manager::register_methods(rpc::MethodTable& table, std::function<Manager*()> manager) {
  ConsensusClient::register_methods(table, [manager]() -> ConsensusClient* {
    Manager* self = manager();
    return self == nullptr ? nullptr : self->impl_->client.get();
  });
  DispatcherService::register_methods(table, [manager]() -> Result<DispatcherService*> {
    Manager* self = manager();
    if (self == nullptr) {
      return no_manager();
    }
    if (self->impl_->dispatcher == nullptr) {
      return no_leader();
    }
    return self->impl_->dispatcher;
  });
  ControlApi::register_methods(table, [manager](std::function<void(Result<ControlApi*>)> then) {
    Manager* self = manager();
    if (self == nullptr) {
      return then(no_manager());
    }
    ControlApi* api = self->impl_->api.get();
    self->impl_->when_leading(kRequestWait, [api, then = std::move(then)](Status status) {
      status ? then(api) : then(std::move(status).error());
    });
  });
}

void Manager::add_loop(LoopFactory factory) {
  impl_->factories.push_back(std::move(factory));
}
void Manager::start(std::function<void(Status)> done) {
  impl_->start(std::move(done));
}
void Manager::stop(std::function<void(Status)> done) {
  impl_->stop(std::move(done));
}
void Manager::bootstrap(model::v1::Cluster cluster, model::v1::Node self,
                        std::function<void(Status)> done) {
  impl_->bootstrap(std::move(cluster), std::move(self), std::move(done));
}
void Manager::when_leading(Duration wait, std::function<void(Status)> then) {
  impl_->when_leading(wait, std::move(then));
}
void Manager::consensus_restarted() {
  impl_->client->plugin_restarted();
}
void Manager::consensus_seen(std::uint64_t incarnation) {
  const std::uint64_t before = std::exchange(impl_->consensus_incarnation, incarnation);
  if (before != 0 && before != incarnation) {
    impl_->client->plugin_restarted();
  }
}
bool Manager::leading() const {
  return impl_->dispatcher != nullptr;
}
const store::Store& Manager::store() const {
  return impl_->store;
}
store::Proposer& Manager::proposer() {
  return *impl_->client;
}
const ConsensusClient& Manager::consensus() const {
  return *impl_->client;
}
const ManagerConfig& Manager::config() const {
  return impl_->config;
}
std::string Manager::trouble() const {
  return impl_->trouble();
}

}  // namespace skep::control
