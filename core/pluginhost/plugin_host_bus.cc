// PluginHost towards the bus: who may join, who is there, and the plugin/1 methods for people.
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "core/model/suggest.h"
#include "core/pluginhost/plugin_host.h"
#include "skep/log.h"

namespace skep::host {
namespace {

Error not_allowed(std::string message) {
  return Error{Code::kPermissionDenied, std::move(message), "NOT_ADMITTED"};
}

}  // namespace

Result<bus::v1::Welcome> PluginHost::admit(const bus::PeerFacts& peer, const bus::v1::Hello& hello) {
  bus::v1::Welcome welcome;
  welcome.set_core_version(options_.version);
  if (hello.id().empty()) {
    if (!hello.drivers().empty()) {
      return not_allowed("drivers need a plugin id in the HELLO");
    }
    return welcome;  // a client: what it may do is decided per call
  }
  Plugin* plugin = find(hello.id());
  if (peer.carrier == bus::CarrierKind::kInproc) {
    return welcome;  // our own thread
  }
  if (plugin != nullptr && plugin->process) {
    const auto& record = plugin->process->record();
    if (record.token() != hello.token() || peer.principal.pid() != record.pid()) {
      return not_allowed("plugin '" + hello.id() + "' runs as another process: choose another id");
    }
    return welcome;
  }
  if (plugin != nullptr && !plugin->external) {
    return not_allowed("plugin '" + hello.id() + "' is a file of this agent: disable it, or choose another id");
  }
  if (!options_.external_allowed) {
    return not_allowed("external plugins are off; set external_plugins = true in agentd.toml");
  }
  if (peer.principal.uid() != 0 && peer.principal.uid() != ::geteuid()) {
    return not_allowed("external plugins must run as root or as this agent's user");
  }
  if (hello.drivers().empty()) {
    return not_allowed("plugin '" + hello.id() + "' names no driver in its HELLO");
  }
  auto& slot = plugins_[hello.id()];
  if (!slot) {
    slot = std::make_unique<Plugin>();
  }
  slot->external = true;
  slot->entry.id = hello.id();
  slot->entry.manifest.version = hello.version();
  slot->drivers.assign(hello.drivers().begin(), hello.drivers().end());
  slot->pid = peer.principal.pid();
  for (const std::string& dir : {options_.state_dir, options_.run_dir}) {
    SKEP_TRY(env_.disk.make_directories(dir + "/plugins/" + hello.id(), 0711));
  }
  welcome.set_start_request(start_request(*slot));
  return welcome;
}

void PluginHost::on_joined(const std::string& name) {
  Plugin* plugin = find(name);
  if (plugin == nullptr) {
    return;
  }
  env_.loop.cancel_timer(std::exchange(plugin->timer, 0));
  plugin->state = State::kRunning;
  plugin->reason.clear();
  plugin->incarnation = next_incarnation_++;
  if (plugin->external) {
    plugin->started_at = env_.clock.wall_now();
  }
  SKEP_INFO("plugin runs", {"plugin", name}, {"pid", plugin->pid});
  drivers_changed_();
}

void PluginHost::on_suspected(const std::string& name) {
  if (Plugin* plugin = find(name); plugin != nullptr && plugin->state == State::kRunning) {
    plugin->state = State::kSuspect;
    plugin->reason = "it does not answer heartbeats";
    SKEP_WARN("plugin does not answer", {"plugin", name});
    drivers_changed_();
  }
}

void PluginHost::on_gone(const std::string& name, const std::string& why) {
  Plugin* plugin = find(name);
  if (plugin == nullptr || stopping_) {
    return;
  }
  if (plugin->process) {
    plugin->state = State::kSuspect;
    plugin->reason = why;
    // A live process that is off the bus hangs or lost its way: its end brings a fresh one.
    if (plugin->timer == 0) {
      plugin->process->signal(SIGKILL);
    }
  } else if (plugin->external) {
    plugin->state = State::kStopped;
    plugin->reason = why + "; start its program again";
  } else if (plugin->state == State::kRunning || plugin->state == State::kSuspect) {
    plugin->state = State::kSuspect;
    plugin->reason = why + "; it runs inside agentd: restart agentd, tasks keep running meanwhile";
    SKEP_ERROR("in-process plugin is gone from the bus", {"plugin", name}, {"cause", why});
  }
  drivers_changed_();
}

std::optional<Error> PluginHost::explain_missing(const std::string& target) const {
  for (const auto& [id, plugin] : plugins_) {
    const bool named =
        id == target || std::any_of(plugin->drivers.begin(), plugin->drivers.end(), [&](const auto& driver) {
          return driver.kind() + "/" + driver.name() == target;
        });
    if (!named) {
      continue;
    }
    const bool comes_back = plugin->state == State::kStarting || plugin->state == State::kWaiting ||
                            plugin->state == State::kSuspect;
    return Error{comes_back ? Code::kUnavailable : Code::kFailedPrecondition, describe(*plugin),
                 "PLUGIN_NOT_RUNNING"};
  }
  return std::nullopt;
}

std::vector<DriverState> PluginHost::drivers() const {
  std::vector<DriverState> out;
  for (const auto& [id, plugin] : plugins_) {
    if (plugin->state == State::kRunning) {
      for (const auto& driver : plugin->drivers) {
        out.push_back({driver.kind() + "/" + driver.name(), plugin->incarnation});
      }
    }
  }
  return out;
}

std::string PluginHost::describe(const Plugin& plugin) {
  return "plugin '" + plugin.entry.id + "' is " + std::string(state_name(plugin.state)) +
         (plugin.reason.empty() ? "" : ": " + plugin.reason);
}

std::optional<AbsentDriver::Outlook> PluginHost::outlook(const Plugin& plugin) const {
  using Outlook = AbsentDriver::Outlook;
  switch (plugin.state) {
    case State::kStarting:
    case State::kSuspect:
      return Outlook::kSoon;
    case State::kWaiting:
      return plugin.policy.crash_loop(env_.clock.now()) ? Outlook::kLater : Outlook::kSoon;
    case State::kStopped:
      return Outlook::kNone;
    case State::kRefused:
      return plugin.entry.refusal.empty() ? std::optional(Outlook::kNone) : std::nullopt;
    case State::kRunning:
    case State::kDisabled:
      return std::nullopt;
  }
  SKEP_UNREACHABLE();
}

std::vector<AbsentDriver> PluginHost::absent() const {
  std::vector<AbsentDriver> out;
  for (const auto& [id, plugin] : plugins_) {
    if (const auto expected = outlook(*plugin)) {
      for (const auto& driver : plugin->drivers) {
        out.push_back({driver.kind() + "/" + driver.name(), plugin->entry.id, describe(*plugin), *expected});
      }
    }
  }
  return out;
}

bool PluginHost::settled() const {
  return std::none_of(plugins_.begin(), plugins_.end(),
                      [](const auto& entry) { return entry.second->state == State::kStarting; });
}

std::vector<plugin::v1::PluginInfo> PluginHost::list() const {
  std::vector<plugin::v1::PluginInfo> out;
  for (const auto& [id, plugin] : plugins_) {
    plugin::v1::PluginInfo info;
    info.set_id(plugin->entry.id);
    info.set_version(plugin->entry.manifest.version);
    for (const auto& driver : plugin->drivers) {
      info.add_drivers(driver.kind() + "/" + driver.name());
      for (const std::string& capability : driver.capabilities()) {
        info.add_capabilities(capability);
      }
    }
    info.set_placement(plugin->external                                  ? "external"
                       : plugin->entry.placement == Placement::kInproc ? "inproc"
                                                                        : "isolated");
    info.set_state(std::string(state_name(plugin->state)));
    info.set_reason(plugin->reason);
    info.set_path(plugin->entry.path);
    info.set_pid(plugin->state == State::kRunning ? plugin->pid : 0);
    info.set_restarts(plugin->restarts);
    info.set_started_at(plugin->started_at);
    info.set_manifest(plugin->entry.manifest.text);
    out.push_back(std::move(info));
  }
  return out;
}

void PluginHost::register_methods(rpc::MethodTable& table) {
  using namespace plugin::v1::methods;  // NOLINT(google-build-using-namespace)
  table.on_sync<ListPlugins>([this](const auto&) -> Result<plugin::v1::ListPluginsResponse> {
    plugin::v1::ListPluginsResponse response;
    for (auto& info : list()) {
      *response.add_plugins() = std::move(info);
    }
    return response;
  });
  table.on_sync<SetPluginEnabled>(
      [this](const plugin::v1::SetPluginEnabledRequest& request) -> Result<plugin::v1::SetPluginEnabledResponse> {
        SKEP_TRY(set_enabled(request.id(), request.enabled()));
        return plugin::v1::SetPluginEnabledResponse{};
      });
  table.on_stream<PluginLogs>([this](const auto& request, auto stream) { serve_logs(request, stream); });
}

void PluginHost::serve_logs(const plugin::v1::PluginLogsRequest& request,
                            rpc::TypedServerStream<plugin::v1::methods::PluginLogs> stream) {
  Plugin* plugin = find(request.id());
  if (plugin == nullptr) {
    return stream.finish(
        Error{Code::kNotFound, "no plugin '" + request.id() + "'; there are " + ids_text(), "NO_SUCH_PLUGIN"});
  }
  if (!plugin->log) {
    return stream.finish(Error{Code::kFailedPrecondition,
                               "plugin '" + request.id() +
                                   "' is a program of its own: what it writes goes where it was started",
                               "EXTERNAL_PLUGIN"});
  }
  plugin->log->serve(request, std::move(stream));
}

}  // namespace skep::host
