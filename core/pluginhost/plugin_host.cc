#include "core/pluginhost/plugin_host.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/base/hex.h"
#include "core/bus/trace.h"
#include "core/model/suggest.h"
#include "skep/log.h"

namespace skep::host {

namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

constexpr Duration kHelloLimit = 15s;    // process start to HELLO, the plugin's own start included
constexpr Duration kStopLimit = 5s;      // for all isolated plugins to end with the agent
constexpr Duration kReattachLimit = 10s; // a host that an earlier agent started, to its HELLO

/// Whether a start failed for a reason in the file itself: another try would end the same way.
bool is_final(const std::string& reason) {
  constexpr std::array<std::string_view, 8> kFinal{"WRONG_ABI", "BAD_ENTRY",   "BAD_TABLE",    "ID_MISMATCH",
                                                   "NO_ENTRY",  "LOAD_FAILED", "BAD_MANIFEST", "UNSAFE_FILE"};
  return std::find(kFinal.begin(), kFinal.end(), reason) != kFinal.end();
}

/// " (Segmentation fault)".
std::string signal_name(int number) {
  const char* const text = ::sigdescr_np(number);
  return text == nullptr ? "" : " (" + std::string(text) + ")";
}

}  // namespace

PluginHost::PluginHost(Env& env, PluginHostOptions options, std::function<void()> drivers_changed)
    : env_(env), options_(std::move(options)), drivers_changed_(std::move(drivers_changed)) {}

PluginHost::~PluginHost() { stop(); }

std::string_view PluginHost::state_name(State state) {
  switch (state) {
    case State::kStopped:
      return "stopped";
    case State::kStarting:
      return "starting";
    case State::kRunning:
      return "running";
    case State::kSuspect:
    case State::kWaiting:
      return "unhealthy";
    case State::kRefused:
      return "refused";
    case State::kDisabled:
      return "disabled";
  }
  SKEP_UNREACHABLE();
}

PluginHost::Plugin* PluginHost::find(const std::string& id) {
  const auto it = plugins_.find(id);
  return it == plugins_.end() ? nullptr : it->second.get();
}

HostProcess::Files PluginHost::files_of(const std::string& id) const {
  const std::string base = options_.run_dir + "/plugins/" + id;
  return {base + ".host", base + ".error", base + ".log"};
}

std::string PluginHost::start_request(const Plugin& plugin) {
  plugin::v1::StartRequest request;
  request.set_installation_id(options_.installation_id);
  request.set_root(options_.root);
  request.set_state_dir(options_.state_dir + "/plugins/" + plugin.entry.id);
  request.set_run_dir(options_.run_dir + "/plugins/" + plugin.entry.id);
  request.mutable_config()->insert(plugin.entry.config.begin(), plugin.entry.config.end());
  return request.SerializeAsString();
}

Status PluginHost::start(bus::Bus& bus) {
  bus_ = &bus;
  bus::serve_trace(bus, env_.loop, env_.clock);
  SKEP_TRY(env_.disk.make_directories(options_.state_dir + "/plugins", 0700));
  SKEP_TRY(env_.disk.make_directories(options_.run_dir + "/plugins", 0700));
  for (CatalogEntry& entry : read_catalog(options_.catalog)) {
    std::string key = entry.id;
    while (plugins_.contains(key)) {
      key += "'";  // a refused double of an id stays listed
    }
    auto plugin = std::make_unique<Plugin>();
    plugin->entry = std::move(entry);
    plugin->drivers = plugin->entry.manifest.drivers;
    plugin->log = std::make_unique<PluginLog>(env_, files_of(plugin->entry.id).log);
    Plugin& added = *plugins_.emplace(key, std::move(plugin)).first->second;
    launch(added);
  }
  return ok();
}

void PluginHost::launch(Plugin& plugin) {
  if (!plugin.entry.refusal.empty()) {
    plugin.state = State::kRefused;
    plugin.reason = plugin.entry.refusal;
    SKEP_WARN("plugin refused", {"plugin", plugin.entry.id}, {"cause", plugin.reason});
    return;
  }
  if (!plugin.entry.enabled) {
    plugin.state = State::kDisabled;
    plugin.reason = "`agentctl plugin enable " + plugin.entry.id + "` starts it";
    return;
  }
  for (const std::string& dir : {options_.state_dir, options_.run_dir}) {
    if (auto status = env_.disk.make_directories(dir + "/plugins/" + plugin.entry.id, 0711); !status) {
      return fail(plugin, status.error().message);
    }
  }
  plugin.state = State::kStarting;
  plugin.reason.clear();
  if (plugin.entry.placement == Placement::kInproc) {
    launch_inproc(plugin);
  } else if (!adopt(plugin)) {
    launch_isolated(plugin);
  }
}

void PluginHost::launch_inproc(Plugin& plugin) {
  const std::string id = plugin.entry.id;
  plugin.pid = ::getpid();
  plugin.started_at = env_.clock.wall_now();
  ShellSpec spec{.path = plugin.entry.path,
                 .manifest = plugin.entry.manifest,
                 .start_request = start_request(plugin),
                 .endpoint = bus_->inproc_endpoint(),
                 .context = bus_->context(),
                 .token = {},
                 .instance = std::to_string(env_.random.next()),
                 .log = [this, &plugin, alive = std::weak_ptr<bool>(alive_)](LogLevel level, std::string_view text) {
                   // Plugins log from any thread; their ring belongs to the loop.
                   env_.loop.post([this, &plugin, alive, level, line = std::string(text)]() mutable {
                     if (!alive.expired()) {
                       SKEP_LOG(level, line, {"plugin", plugin.entry.id});
                       plugin.log->add(level, std::move(line));
                     }
                   });
                 }};
  plugin.thread = std::make_unique<ShellThread>(env_.loop, std::move(spec), [this, &plugin](Status status) {
    if (!status) {
      plugin.thread.reset();
      fail(plugin, status.error().message);
    }
  });
}

bool PluginHost::adopt(Plugin& plugin) {
  plugin.process = HostProcess::adopt(env_, files_of(plugin.entry.id),
                                      [this, &plugin](int code) { on_process_end(plugin, code); });
  if (!plugin.process) {
    return false;
  }
  if (plugin.process->record().path() != plugin.entry.path) {
    plugin.process->signal(SIGKILL);  // of another build; its end starts this one
    plugin.reason = "waiting for its earlier build to end";
    return true;
  }
  plugin.pid = plugin.process->pid();
  plugin.started_at = plugin.process->record().started_at();
  wait_for_hello(plugin, kReattachLimit);
  return true;
}

void PluginHost::launch_isolated(Plugin& plugin) {
  plugin::v1::BootParams boot;
  boot.set_id(plugin.entry.id);
  boot.set_path(plugin.entry.path);
  boot.set_endpoint(bus_->ipc_endpoint());
  boot.set_token(base::hex(env_.random.bytes(32)));  // a `string` field takes only UTF-8
  boot.set_instance(std::to_string(env_.random.next()));
  boot.set_start_request(start_request(plugin));
  auto process = HostProcess::start(env_, options_.host_program, std::move(boot), files_of(plugin.entry.id),
                                    [this, &plugin](int code) { on_process_end(plugin, code); });
  if (!process) {
    return fail(plugin, process.error().message);
  }
  plugin.process = std::move(*process);
  plugin.pid = plugin.process->pid();
  plugin.started_at = env_.clock.wall_now();
  wait_for_hello(plugin, kHelloLimit);
}

void PluginHost::wait_for_hello(Plugin& plugin, Duration limit) {
  plugin.timer = env_.loop.run_after(limit, [this, &plugin] {
    plugin.timer = 0;
    plugin.reason = "it did not say hello in time: does its start() hang?";
    SKEP_WARN("plugin did not start in time, ending it", {"plugin", plugin.entry.id});
    plugin.process->signal(SIGKILL);
  });
}

void PluginHost::on_process_end(Plugin& plugin, int exit_code) {
  auto failure = plugin.process->take_failure();
  plugin.process.reset();
  env_.loop.cancel_timer(std::exchange(plugin.timer, 0));
  bus_->drop(plugin.entry.id, "its process ended");
  if (stopping_ || !plugin.entry.enabled) {
    plugin.state = plugin.entry.enabled ? State::kStopped : State::kDisabled;
    return;
  }
  if (failure) {
    if (is_final(failure->reason())) {
      return fail(plugin, failure->message());
    }
    // It could not even start: what it said is a better reason than its exit code.
    return restart_later(plugin, failure->message(), RestartPolicy::End::kCrashed);
  }
  std::string why = plugin.reason;
  // The signal of a crash says more than what the bus saw of it; SIGKILL may be our own.
  if (why.empty() || (exit_code >= 0 && exit_code != 128 + SIGKILL)) {
    why = exit_code < 0      ? "its process ended"
          : exit_code >= 128 ? "its process was ended by signal " + std::to_string(exit_code - 128) + signal_name(exit_code - 128)
                             : "its process exited with code " + std::to_string(exit_code);
  }
  // Our own SIGKILL always leaves a reason; one without is somebody else's.
  const bool killed = exit_code == 128 + SIGKILL && plugin.reason.empty();
  restart_later(plugin, why, killed ? RestartPolicy::End::kKilled : RestartPolicy::End::kCrashed);
}

void PluginHost::restart_later(Plugin& plugin, const std::string& why, RestartPolicy::End end) {
  const TimePoint now = env_.clock.now();
  const Duration delay = plugin.policy.on_end(now, end, env_.random);
  plugin.state = State::kWaiting;
  plugin.reason = why + (plugin.policy.crash_loop(now) ? " (crash loop: it ended 5 times in 10 minutes)" : "") +
                  "; see `agentctl plugin logs " + plugin.entry.id + "`";
  SKEP_WARN("plugin ended", {"plugin", plugin.entry.id}, {"cause", why},
            {"restart_ms", std::chrono::duration_cast<std::chrono::milliseconds>(delay).count()});
  plugin.timer = env_.loop.run_after(delay, [this, &plugin] {
    plugin.timer = 0;
    ++plugin.restarts;
    launch(plugin);
  });
  drivers_changed_();
}

void PluginHost::fail(Plugin& plugin, const std::string& why) {
  plugin.state = State::kRefused;
  plugin.reason = why;
  SKEP_ERROR("plugin did not start", {"plugin", plugin.entry.id}, {"cause", why});
  drivers_changed_();
}

void PluginHost::halt(Plugin& plugin) {
  env_.loop.cancel_timer(std::exchange(plugin.timer, 0));
  plugin.thread.reset();
  if (plugin.process) {
    plugin.process->signal(SIGTERM);
    // One that hangs gets no second word.
    plugin.timer = env_.loop.run_after(2s, [&plugin] {
      plugin.timer = 0;
      if (plugin.process) {
        plugin.process->signal(SIGKILL);
      }
    });
  }
}

void PluginHost::stop() {
  if (stopping_) {
    return;
  }
  stopping_ = true;
  for (auto& [id, plugin] : plugins_) {
    env_.loop.cancel_timer(std::exchange(plugin->timer, 0));
    plugin->thread.reset();
    if (plugin->process) {
      plugin->process->signal(SIGTERM);
    }
  }
  const TimePoint until = env_.clock.now() + kStopLimit;
  for (auto& [id, plugin] : plugins_) {
    // One that hangs would stay for ever: nobody is left who would end it.
    if (plugin->process && (plugin->state == State::kStarting || plugin->state == State::kSuspect ||
                            !plugin->process->wait_end(until - env_.clock.now()))) {
      plugin->process->signal(SIGKILL);
    }
    plugin->process.reset();
  }
  alive_.reset();
}

Status PluginHost::set_enabled(const std::string& id, bool enabled) {
  Plugin* plugin = find(id);
  if (plugin == nullptr) {
    return Error{Code::kNotFound, "no plugin '" + id + "'; there are " + ids_text(), "NO_SUCH_PLUGIN"};
  }
  if (plugin->external) {
    return Error{Code::kFailedPrecondition, "plugin '" + id + "' is a program of its own: stop or start it yourself"};
  }
  if (!plugin->entry.refusal.empty()) {
    return Error{Code::kFailedPrecondition, "plugin '" + id + "' is refused: " + plugin->entry.refusal};
  }
  if (plugin->entry.enabled == enabled) {
    return ok();
  }
  if (!enabled && options_.may_disable) {
    SKEP_TRY(options_.may_disable(id));
  }
  plugin->entry.enabled = enabled;
  if (enabled && plugin->process) {
    plugin->state = State::kStarting;  // its end starts it anew
    plugin->reason = "waiting for its earlier process to end";
  } else if (enabled) {
    launch(*plugin);
  } else {
    halt(*plugin);
    plugin->state = State::kDisabled;
    plugin->reason = "`agentctl plugin enable " + id + "` starts it";
  }
  drivers_changed_();
  return ok();
}

Status PluginHost::reset_state(const std::string& id) {
  const std::string directory = options_.state_dir + "/plugins/" + id;
  Plugin* plugin = find(id);
  const bool running = plugin != nullptr && plugin->entry.refusal.empty() && plugin->entry.enabled;
  if (running) {
    halt(*plugin);
  }
  SKEP_TRY(env_.disk.remove_tree(directory));
  if (running && !plugin->process) {
    bus_->drop(id, "its state is reset");
    launch(*plugin);
  }
  return ok();
}

std::string PluginHost::ids_text() const {
  std::string out;
  for (const auto& [id, plugin] : plugins_) {
    out += (out.empty() ? "" : ", ") + id;
  }
  return out.empty() ? "none" : out;
}

}  // namespace skep::host
