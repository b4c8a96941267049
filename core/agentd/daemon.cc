#include "core/agentd/daemon.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "core/agentd/agent_api.h"
#include "core/agentd/version.h"
#include "core/base/resident.h"
#include "core/control/ca/ca_api.h"
#include "core/control/errors.h"
#include "skep/log.h"

namespace skep::agentd {

namespace {
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kStopLimit = 10s;
}  // namespace

Daemon::Daemon(Paths paths, Config config, std::string program_dir)
    : paths_(std::move(paths)), config_(std::move(config)), program_dir_(std::move(program_dir)) {}

Daemon::~Daemon() {
  swarm_.reset();
  if (plugins_) {
    plugins_->stop();
  }
  real_.workers.stop();
  link_.reset();
  bus_.reset();
  plugins_.reset();
  if (signal_fd_ >= 0) {
    ::close(signal_fd_);
  }
}

Status Daemon::prepare_directories() {
  SKEP_TRY(real_.disk.make_directories(paths_.state_dir, 0711));
  return real_.disk.make_directories(paths_.run_dir, 0711);
}

// The swarm would lose this manager, and a swarm of one all its commands.
Status Daemon::may_disable(const std::string& plugin) const {
  if (plugin != config_.consensus || !swarm_ || !swarm_->membership() || !swarm_->membership()->manager()) {
    return ok();
  }
  return Error{Code::kFailedPrecondition,
               "plugin '" + plugin + "' orders the log of the swarm and this node is a manager: demote the node "
               "or leave the swarm first",
               "PLUGIN_NEEDED"};
}

host::PluginHostOptions Daemon::plugin_options() const {
  host::PluginHostOptions options;
  options.catalog.trusted_dirs = config_.plugin_dirs;
  if (options.catalog.trusted_dirs.empty()) {
    options.catalog.trusted_dirs = {program_dir_ + "/../plugins", program_dir_ + "/../lib/skep/plugins"};
  }
  options.catalog.third_party_dirs = config_.third_party_dirs;
  if (options.catalog.third_party_dirs.empty()) {
    options.catalog.third_party_dirs = {"/opt/skep/plugins"};
  }
  options.catalog.isolate_all = config_.isolate_all;
  for (const auto& [id, settings] : config_.plugins) {
    options.catalog.settings[id] = {settings.enabled, settings.placement, settings.config};
  }
  options.root = paths_.root;
  options.state_dir = paths_.state_dir;
  options.run_dir = paths_.run_dir;
  options.installation_id = installation_id_;
  options.version = kVersion;
  options.host_program = program_dir_ + "/agent-plugin-host";
  options.external_allowed = config_.external_plugins;
  options.may_disable = [this](const std::string& id) { return may_disable(id); };
  return options;
}

Status Daemon::start() {
  SKEP_TRY(prepare_directories());
  SKEP_TRY_ASSIGN(auto lock, RootLock::take(paths_));
  lock_.emplace(std::move(lock));
  SKEP_TRY_ASSIGN(installation_id_, installation_id(paths_, real_.disk, real_.random));
  plugins_ = std::make_unique<host::PluginHost>(real_.env, plugin_options(), [this] {
    if (swarm_) {
      swarm_->drivers_changed();
    }
  });
  bus::BusOptions options;
  options.bus_socket = paths_.bus_socket;
  options.control_socket = paths_.control_socket;
  options.router.admit = [this](const auto& peer, const auto& hello) { return plugins_->admit(peer, hello); };
  options.router.explain_missing = [this](const std::string& target) { return plugins_->explain_missing(target); };
  bus_ = std::make_unique<bus::Bus>(
      real_.loop, real_.random, std::move(options),
      bus::BusEvents{.on_joined = [this](const auto& name) { plugins_->on_joined(name); },
                     .on_suspected = [this](const auto& name) { plugins_->on_suspected(name); },
                     .on_gone = [this](const auto& name, const auto& why) { plugins_->on_gone(name, why); }});
  link_ = std::make_unique<link::Link>(real_.env, bus_->table(), link::LinkOptions{.version = kVersion});
  swarm_ = std::make_unique<Swarm>(real_.env, bus_->caller(), *link_, *plugins_, paths_, config_, installation_id_);
  plugins_->register_methods(bus_->table());
  const auto manager = [this] { return swarm_->serving_manager(); };
  control::Manager::register_methods(bus_->table(), manager);
  control::register_ca_methods(bus_->table(), real_.env, *link_, manager);
  register_agent_api(bus_->table(), real_.env, bus_->caller(), *swarm_, *plugins_, paths_, config_, installation_id_,
                     [this] { begin_stop(); });
  SKEP_TRY(bus_->start());
  SKEP_TRY(plugins_->start(*bus_));
  SKEP_TRY(swarm_->start());
  watch_signals();
  SKEP_INFO("agentd is ready", {"root", paths_.root}, {"version", kVersion}, {"pid", ::getpid()},
            {"swarm", swarm_->state()});
  ::sd_notify(0, "READY=1");
  // Reading the plugins' files and replaying the log needed memory that is not needed again.
  base::keep_memory_small(real_.loop);
  return ok();
}

void Daemon::watch_signals() {
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  signal_fd_ = ::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
  real_.loop.watch_readable(signal_fd_, [this] {
    signalfd_siginfo info{};
    while (::read(signal_fd_, &info, sizeof(info)) > 0) {
      on_signal();
    }
  });
}

void Daemon::on_signal() {
  const bool drains = config_.on_stop == OnStop::kDrain && !stopping_ && !draining_;
  drains ? drain() : begin_stop();
}

void Daemon::drain() {
  draining_ = true;
  SKEP_INFO("agentd hands its tasks over and then stops; asked again it stops without waiting for that");
  // Otherwise systemd kills an agent that waits longer than its own limit (90 s).
  const auto limit = std::chrono::duration_cast<std::chrono::microseconds>(kHandOverPatience + kStopLimit);
  ::sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld", static_cast<long long>(limit.count()));
  swarm_->hand_over(kHandOverPatience, [this](const Status& status) {
    if (!status) {
      SKEP_WARN("not all tasks were handed over", {"cause", status.error().message});
    }
    if (!stopping_) {
      begin_stop();
    }
  });
}

void Daemon::begin_stop() {
  if (std::exchange(stopping_, true)) {
    return real_.loop.stop();  // asked twice: at once
  }
  SKEP_INFO("agentd stops; tasks keep running");
  ::sd_notify(0, "STOPPING=1");
  real_.loop.run_after(kStopLimit, [this] {
    SKEP_WARN("the manager did not stop in time; its log has everything acknowledged");
    real_.loop.stop();
  });
  swarm_->announce_restart([this] { swarm_->stop([this] { real_.loop.stop(); }); });
}

void Daemon::run() { real_.loop.run(); }

}  // namespace skep::agentd
