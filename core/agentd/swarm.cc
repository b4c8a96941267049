#include "core/agentd/swarm.h"

#include "core/agentd/address.h"
#include "core/agentd/credentials.h"
#include "core/agentd/identity.h"
#include "core/agentd/leftovers.h"
#include "core/agentd/recovery.h"
#include "core/agentd/rejection.h"
#include "core/agentd/swarm_security.h"
#include "core/agentd/version.h"
#include "core/base/unlock_key.h"
#include "core/control/ca/ca.h"
#include "core/control/standard_loops.h"
#include "core/model/defaults.h"
#include "core/model/ids.h"
#include "core/model/validate.h"
#include "core/store/leveldb_backend.h"
#include "skep/log.h"

namespace skep::agentd {

namespace {
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kLeadLimit = 20s;   // a new single member leads at once; this is for a sick disk

Result<agent::v1::SwarmMembership> first_membership(Random& random, const agent::v1::InitRequest& request) {
  SKEP_TRY_ASSIGN(const auto addresses, machine_addresses());
  SKEP_TRY_ASSIGN(const auto chosen,
                  choose_node_addresses({request.advertise_address(), request.listen_address(), ""}, addresses));
  agent::v1::SwarmMembership membership;
  membership.set_advertise_address(chosen.advertise);
  membership.set_listen_address(chosen.listen);
  membership.set_node_id(model::new_id(random));
  membership.set_cluster_id(model::new_id(random));
  membership.set_member_id(random.next() | 1);  // never 0
  membership.set_manager(true);
  return membership;
}
}  // namespace

class Swarm::Drivers final : public node::DriverDirectory {
 public:
  explicit Drivers(const host::PluginHost& plugins) : plugins_(plugins) {}
  std::vector<node::DriverState> drivers() override {
    std::vector<node::DriverState> out;
    for (auto& driver : plugins_.drivers()) {
      out.push_back({std::move(driver.name), driver.incarnation});
    }
    return out;
  }

 private:
  const host::PluginHost& plugins_;
};

Swarm::Swarm(Env& env, rpc::Caller& caller, link::Link& link, host::PluginHost& plugins, const Paths& paths,
             const Config& config, std::string installation_id)
    : env_(env),
      caller_(caller),
      link_(link),
      plugins_(plugins),
      paths_(paths),
      config_(config),
      installation_id_(std::move(installation_id)),
      security_(std::make_unique<Security>(*this)),
      book_(env.random),
      node_caller_(std::make_unique<ManagerCaller>(
          caller, link, book_, [this] { return local_manager(); },
          [this] { return membership_ ? membership_->node_id() : std::string(); })),
      recovery_(std::make_unique<Recovery>(*this)),
      promotion_(env, *node_caller_, promotion_hooks()),
      renewal_(env, [this] { renew(); }),
      drivers_(std::make_unique<Drivers>(plugins)),
      sandboxes_(std::make_unique<node::PosixSandboxMaker>(env, paths.run_dir + "/sandbox")),
      leftovers_(std::make_unique<Leftovers>(env, caller, view_of(plugins), *sandboxes_)) {
  link_.set_still_manager([this](const std::string& node_id, std::string_view method) {
    return !manager_ || manager_->is_manager(node_id, method);
  });
  // Told until a session works again.
  link_.set_on_rejected([this](const std::string& node_id, const Error& error) {
    if (manager_ && manager_->leading()) {
      return;  // It is in order itself: others follow it. Who is not, says so.
    }
    link_trouble_ = rejection_text(node_id, error, {.manager = manager_ != nullptr,
                                                    .certificate_expired = security_->certificate_useless()});
  });
  link_.set_on_removed([this](const std::string& by, std::uint64_t incarnation) {
    return manager_ ? manager_->refused_by(by, incarnation) : void();
  });
  link_.set_on_gone([this](const std::string& node_id) {
    if (manager_) {
      manager_->peer_gone(node_id);
    }
  });
}

Swarm::~Swarm() {
  env_.loop.cancel_timer(listen_timer_);
  link_.set_on_rejected({});
  link_.set_on_removed({});
  link_.set_on_gone({});
  link_.set_still_manager({});
}

Status Swarm::start() {
  SKEP_TRY_ASSIGN(membership_, load_membership(paths_, env_.disk));
  changing_ = false;
  if (!membership_) {
    return ok();
  }
  if (membership_->leaving()) {
    return forget();
  }
  SKEP_TRY(recovery_->finish());
  // A worker has it only after an interrupted demotion, and needs it only as long as its own key is sealed.
  const bool opens = membership_->manager() || (security_->key().present() && node_key_sealed(paths_, env_.disk));
  if (auto status = opens ? security_->open() : ok(); !status) {
    trouble_ = status.error().message;
    SKEP_ERROR("the manager role cannot start; tasks keep running", {"cause", trouble_});
  } else {
    locked() ? security_->begin_locked() : begin_roles();
  }
  return start_node();
}

void Swarm::begin_roles() {
  start_link();
  if (membership_->manager() && membership_->has_recover_at_start()) {
    recovery_->begin_at_start();
  } else if (membership_->manager()) {
    start_manager(member_.wrap([this](const Status& status) { manager_started(status); }));
  } else if (env_.disk.exists(paths_.state_dir + "/manager.db") || security_->key().present()) {
    security_->drop_manager_state();  // a demotion that was interrupted
  }
}

void Swarm::announce_restart(std::function<void()> done) {
  if (!node_) {
    return done();
  }
  node_->announce(node::Farewell::kWillBeBack, std::move(done));
}

void Swarm::stop(std::function<void()> done) {
  if (node_) {
    node_->stop();
  }
  if (!manager_) {
    return done();
  }
  manager_->hand_over([this, done = std::move(done)] {
    if (!manager_) {
      return done();
    }
    manager_->stop([done](const Status& status) {
      if (!status) {
        SKEP_WARN("manager state not saved at the stop; the log has it", {"cause", status.error().message});
      }
      done();
    });
  });
}

std::string Swarm::state() const {
  if (!membership_) {
    return "inactive";
  }
  return locked() ? "locked" : !trouble().empty() ? "error" : changing_ || !node_ ? "pending" : "active";
}

void Swarm::drivers_changed() {
  if (!membership_ && !changing_) {
    leftovers_->check();
  }
  if (node_) {
    node_->drivers_changed();
  }
  tell_manager_of_consensus();
}

void Swarm::tell_manager_of_consensus() {
  if (!manager_) {
    return;
  }
  for (const auto& driver : plugins_.drivers()) {
    if (driver.name == "consensus/" + config_.consensus) {
      manager_->consensus_seen(driver.incarnation);
    }
  }
}

Status Swarm::start_node() {
  SKEP_TRY_ASSIGN(records_, node::LevelRecordStore::open(paths_.state_dir + "/node.db"));
  node::NodeConfig config;
  config.node_id = membership_->node_id();
  config.installation_id = installation_id_;
  config.run_dir = paths_.run_dir;
  config.version = kVersion;
  config.engine_labels = config_.node_labels;
  config.default_runtime = config_.default_runtime;
  config.gateway_driver = config_.gateway_network_driver;
  config.dispatcher = kManagerTarget;
  config.admit = [this](const dispatch::v1::SessionMessage& message) { return recovery_->admit(message); };
  config.on_session = [this](const dispatch::v1::SessionMessage& message) { learn(message); };
  config.on_silence = [this] { node_caller_->on_silence(); };
  config.on_refused = [this](const Error& error) { link_trouble_ = error.message; };
  config.tls = [this] { return security_->tls(); };
  node_ = std::make_unique<node::NodeAgent>(env_, *node_caller_, std::move(config),
                                            node::NodeParts{*sandboxes_, *records_, *drivers_, facts_});
  return node_->start();
}

void Swarm::start_manager(std::function<void(Status)> done) {
  control::ManagerConfig config;
  config.node_id = membership_->node_id();
  config.cluster_id = membership_->cluster_id();
  config.member_id = membership_->member_id();
  config.address = membership_->advertise_address();
  config.consensus_target = "consensus/" + config_.consensus;
  if (!membership_->bootstrapped()) {
    consensus::v1::Member self;
    self.set_id(membership_->member_id());
    self.set_node_id(membership_->node_id());
    self.set_address(membership_->advertise_address());
    config.bootstrap.push_back(self);
    config.begins_at_state = membership_->incarnation() != 0;
  }
  config.incarnation = membership_->incarnation();
  config.join_members = join_members_;
  config.log_made = membership_->log_made();
  config.sealer = security_->key().sealer();
  control::Manager::Handlers handlers;
  handlers.on_cluster = [this](const model::v1::Cluster& cluster) { security_->swarm_told(cluster); };
  handlers.on_leading = [this](bool leading) {
    if (leading) {
      recovery_->note_bootstrapped();
    }
    if (leading && (!credentials_ || security_->certificate_useless())) {
      certify_self();
    }
  };
  handlers.on_fatal = [this](const Error& error) {
    trouble_ = error.message;
    SKEP_ERROR("the manager role stopped; tasks keep running", {"cause", error.message});
    if (told_role_) {
      role_told(*told_role_);
    }
  };
  handlers.on_log_made = [this] { return recovery_->note_log_made(); };
  handlers.on_newer_incarnation = [this](std::uint64_t incarnation) { recovery_->follow(incarnation); };
  handlers.on_removed = [this] { demoted(); };
  manager_ = std::make_unique<control::Manager>(
      env_, caller_, std::make_shared<store::LevelDbBackend>(paths_.state_dir + "/manager.db"),
      std::move(config), std::move(handlers), &link_);
  for (auto& make_loop : control::standard_loops()) {
    manager_->add_loop(std::move(make_loop));
  }
  manager_->start(std::move(done));
  tell_manager_of_consensus();
}

void Swarm::init(const agent::v1::InitRequest& request, std::function<void(Result<std::string>)> done) {
  if (membership_ || changing_) {
    return done(Error{Code::kFailedPrecondition,
                      "this node is already part of a swarm: use `agentctl swarm leave` to leave it first",
                      "ALREADY_IN_SWARM"});
  }
  if (auto status = model::validate_cluster_spec(request.spec()); !status) {
    return done(std::move(status).error());
  }
  auto membership = first_membership(env_.random, request);
  auto root = control::new_root_ca(env_.random, env_.clock.wall_now());
  if (!membership || !root) {
    return done(!membership ? std::move(membership).error() : std::move(root).error());
  }
  trouble_.clear();
  link_trouble_.clear();
  changing_ = true;
  if (auto status = begin_init(request, *membership, *root); !status) {
    return give_up_init(std::move(status).error(), done);
  }
  auto answered = std::make_shared<bool>(false);
  const auto once_open = [this, request, root = *root, done, answered](Status opened) {
    if (std::exchange(*answered, true)) {
      return;
    }
    if (!opened) {
      return give_up_init(std::move(opened).error(), done);
    }
    bootstrap(request, root, [this, done](Status status) {
      if (!status) {
        return give_up_init(std::move(status).error(), done);
      }
      membership_->set_bootstrapped(true);
      if (auto saved = save_membership(paths_, env_.disk, *membership_); !saved) {
        return give_up_init(std::move(saved).error(), done);
      }
      if (auto started = start_node(); !started) {
        return give_up_init(std::move(started).error(), done);
      }
      changing_ = false;
      done(membership_->node_id());
    });
  };
  leftovers_->pause([this, answered, once_open] {
    // The manager tries for ever to open its log; whoever waits here is told why it does not open.
    env_.loop.run_after(kLeadLimit, [this, answered, once_open] {
      if (!*answered) {
        once_open(Error{Code::kUnavailable, "the log of the new swarm cannot be opened: " +
                                                (manager_ ? manager_->trouble() : std::string()),
                        "NO_CONSENSUS"});
      }
    });
    start_manager(once_open);
  });
}

Status Swarm::begin_init(const agent::v1::InitRequest& request,
                         agent::v1::SwarmMembership membership, const model::v1::RootCa& root) {
  SKEP_TRY_ASSIGN(link::KeyedRequest key, link::make_request());
  link::Credentials credentials;
  credentials.roots = root.certificate();
  credentials.cluster_id = membership.cluster_id();
  credentials.node_id = membership.node_id();
  SKEP_TRY_ASSIGN(credentials.pair.certificate,
                  link::sign_request({root.certificate(), root.key()}, key.request,
                                     {membership.node_id(), link::Role::kManager, membership.cluster_id()},
                                     env_.clock.wall_now(), control::certificate_life(request.spec())));
  credentials.pair.key = std::move(key.key);
  SKEP_TRY(security_->key().make(request.spec().autolock() ? base::new_unlock_key(env_.random) : ""));
  SKEP_TRY(use(credentials));
  membership_ = std::move(membership);
  SKEP_TRY(first_listen(request));
  SKEP_TRY(save_credentials(paths_, env_.disk, env_.random, security_->sealer(), credentials));
  return save_membership(paths_, env_.disk, *membership_);
}

void Swarm::bootstrap(const agent::v1::InitRequest& request, const model::v1::RootCa& root,
                      std::function<void(Status)> done) {
  manager_->when_leading(kLeadLimit, [this, request, root, done](Status leading) {
    if (!leading) {
      return done(std::move(leading));
    }
    model::v1::Cluster cluster;
    cluster.set_id(membership_->cluster_id());
    *cluster.mutable_root_ca() = root;
    *cluster.mutable_spec() = request.spec();
    cluster.mutable_spec()->set_name("default");
    cluster.set_unlock_key(security_->key().unlock_key());
    *cluster.mutable_default_address_pool() = request.default_address_pool();
    cluster.set_subnet_size(request.subnet_size());
    cluster.set_data_path_port(request.data_path_port());
    model::v1::Node self;
    self.set_id(membership_->node_id());
    self.mutable_spec()->set_role(model::v1::NODE_ROLE_MANAGER);
    self.mutable_spec()->set_availability(request.availability());
    *self.mutable_description() = describe();
    const std::string& address = membership_->advertise_address();
    self.mutable_status()->set_address(address.substr(0, address.rfind(':')));
    self.mutable_manager_status()->set_leader(true);
    self.mutable_manager_status()->set_reachability(2);
    self.mutable_manager_status()->set_address(address);
    self.mutable_manager_status()->set_member_id(membership_->member_id());
    manager_->bootstrap(std::move(cluster), std::move(self), done);
  });
}

void Swarm::give_up_init(Error error, const std::function<void(Result<std::string>)>& done) {
  auto failed = std::make_shared<Error>(std::move(error));
  const auto clean = [this, failed, done] {
    changing_ = false;
    if (auto status = forget(); !status) {
      SKEP_ERROR("a failed init left files behind", {"cause", status.error().message});
    }
    done(*failed);
  };
  if (!manager_) {
    return clean();
  }
  manager_->stop([clean](Status) { clean(); });
}

model::v1::NodeDescription Swarm::describe() {
  if (node_) {
    return node_->description();
  }
  model::v1::NodeDescription description;
  description.set_hostname(facts_.hostname());
  *description.mutable_platform() = facts_.platform();
  *description.mutable_resources() = facts_.resources();
  description.mutable_engine()->set_version(kVersion);
  description.mutable_engine()->mutable_labels()->insert(config_.node_labels.begin(), config_.node_labels.end());
  for (auto& driver : plugins_.drivers()) {
    description.mutable_engine()->add_drivers(std::move(driver.name));
  }
  return description;
}

}  // namespace skep::agentd
