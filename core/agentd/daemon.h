#pragma once

// agentd itself: what is started, in which order, and stopped in the reverse one. The only place that
// knows every concrete class.

#include <memory>
#include <optional>
#include <string>

#include "core/agentd/config.h"
#include "core/agentd/identity.h"
#include "core/agentd/swarm.h"
#include "core/base/real_env.h"
#include "core/bus/bus.h"
#include "core/link/link.h"
#include "core/pluginhost/plugin_host.h"

namespace skep::agentd {

class Daemon {
 public:
  Daemon(Paths paths, Config config, std::string program_dir);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Everything up to "the control socket answers". Errors say what to do.
  Status start();
  /// Serves until SIGTERM or SIGINT, then stops in order. Tasks keep running, unless `on_stop` says that
  /// others take them over first.
  void run();

 private:
  Status prepare_directories();
  host::PluginHostOptions plugin_options() const;
  Status may_disable(const std::string& plugin) const;
  void watch_signals();
  void on_signal();
  void drain();
  void begin_stop();

  const Paths paths_;
  Config config_;
  const std::string program_dir_;
  base::RealEnv real_{4};
  std::string installation_id_;
  std::optional<RootLock> lock_;
  std::unique_ptr<host::PluginHost> plugins_;
  std::unique_ptr<bus::Bus> bus_;
  std::unique_ptr<link::Link> link_;
  std::unique_ptr<Swarm> swarm_;
  int signal_fd_ = -1;
  bool draining_ = false;
  bool stopping_ = false;
};

}  // namespace skep::agentd
