#pragma once

// The plugins of one agent: finds them, starts them where they belong, watches and restarts them,
// says which drivers can be called, and answers plugin/1 for people. Loop thread only.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/bus/bus.h"
#include "core/pluginhost/catalog.h"
#include "core/pluginhost/host_process.h"
#include "core/pluginhost/plugin_log.h"
#include "core/pluginhost/restart_policy.h"
#include "core/pluginhost/shell.h"
#include "skep/plugin.methods.h"

namespace skep::host {

struct PluginHostOptions {
  CatalogOptions catalog;
  std::string root;
  std::string state_dir;  ///< <state_dir>/plugins/ID is the plugin's
  std::string run_dir;    ///< <run_dir>/plugins/ID too
  std::string installation_id;
  std::string version;       ///< of the agent
  std::string host_program;  ///< path of agent-plugin-host
  bool external_allowed = true;
  /// Why a plugin that runs must not be disabled now; everything may when absent.
  std::function<Status(const std::string& id)> may_disable = {};
};

/// One driver that answers calls now; another incarnation means its plugin restarted.
struct DriverState {
  std::string name;  ///< "volume/local"
  std::uint64_t incarnation = 0;
};

/// One driver that cannot be called now, although its plugin should run. "Should" leaves out what is disabled, and
/// files that were refused before they ever ran.
struct AbsentDriver {
  enum class Outlook {
    kSoon,   ///< it starts, or will in seconds
    kLater,  ///< it is in a crash loop: minutes
    kNone    ///< not before somebody does something
  };
  std::string name;    ///< "volume/local"
  std::string plugin;  ///< "local"
  std::string why;     ///< "plugin 'local' is unhealthy: its process was ended by signal 9"
  Outlook outlook = Outlook::kNone;
};

class PluginHost {
 public:
  PluginHost(Env& env, PluginHostOptions options, std::function<void()> drivers_changed);
  ~PluginHost();
  PluginHost(const PluginHost&) = delete;
  PluginHost& operator=(const PluginHost&) = delete;

  /// For the router's options; valid before start().
  Result<bus::v1::Welcome> admit(const bus::PeerFacts& peer, const bus::v1::Hello& hello);
  std::optional<Error> explain_missing(const std::string& target) const;
  /// For the bus's events.
  void on_joined(const std::string& name);
  void on_suspected(const std::string& name);
  void on_gone(const std::string& name, const std::string& why);

  /// Starts every plugin of the catalog; `bus` is started and outlives this object.
  Status start(bus::Bus& bus);
  /// In-process plugins stop; isolated ones too, unless `keep_isolated`. Blocks until threads ended.
  void stop();

  /// Stops the plugin, removes its state directory and starts it again: what it kept belongs to a
  /// swarm that was left. An unknown id is success.
  Status reset_state(const std::string& id);

  /// plugin/1: list, enable, disable, logs, trace.
  void register_methods(rpc::MethodTable& table);

  [[nodiscard]] std::vector<DriverState> drivers() const;
  [[nodiscard]] std::vector<AbsentDriver> absent() const;
  /// True once every enabled plugin runs or has said why not.
  [[nodiscard]] bool settled() const;
  [[nodiscard]] std::vector<plugin::v1::PluginInfo> list() const;
  /// Where the host process of a plugin writes; there is none of an in-process one.
  [[nodiscard]] std::string log_file(const std::string& id) const { return files_of(id).log; }

 private:
  enum class State { kStopped, kStarting, kRunning, kSuspect, kWaiting, kRefused, kDisabled };
  struct Plugin {
    CatalogEntry entry;
    State state = State::kStopped;
    bool external = false;
    std::string reason;
    std::uint64_t incarnation = 0;
    std::uint32_t restarts = 0;
    WallTime started_at = 0;
    int pid = 0;
    RestartPolicy policy;
    TimerId timer = 0;  // restart, or the limit of a start
    std::unique_ptr<ShellThread> thread;
    std::unique_ptr<HostProcess> process;
    std::vector<bus::v1::DriverName> drivers;
    std::unique_ptr<PluginLog> log;  // none of an external program
  };

  void launch(Plugin& plugin);
  void launch_inproc(Plugin& plugin);
  void launch_isolated(Plugin& plugin);
  bool adopt(Plugin& plugin);
  void wait_for_hello(Plugin& plugin, Duration limit);
  void halt(Plugin& plugin);
  void on_process_end(Plugin& plugin, int exit_code);
  void restart_later(Plugin& plugin, const std::string& why, RestartPolicy::End end);
  void fail(Plugin& plugin, const std::string& why);
  Status set_enabled(const std::string& id, bool enabled);
  void serve_logs(const plugin::v1::PluginLogsRequest& request,
                  rpc::TypedServerStream<plugin::v1::methods::PluginLogs> stream);
  Plugin* find(const std::string& id);
  [[nodiscard]] std::string ids_text() const;
  HostProcess::Files files_of(const std::string& id) const;
  std::string start_request(const Plugin& plugin);
  static std::string_view state_name(State state);
  static std::string describe(const Plugin& plugin);
  [[nodiscard]] std::optional<AbsentDriver::Outlook> outlook(const Plugin& plugin) const;

  Env& env_;
  PluginHostOptions options_;
  std::function<void()> drivers_changed_;
  bus::Bus* bus_ = nullptr;
  bool stopping_ = false;
  std::uint64_t next_incarnation_ = 1;
  std::map<std::string, std::unique_ptr<Plugin>> plugins_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::host
