#include "plugins/runtime/oci/container/container_driver.h"

#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "skep/log.h"

namespace skep::oci {
namespace {

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    return ::access(name.c_str(), X_OK) == 0 ? name : std::string();
  }
  for (const char* directory : {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/",
                                "/sbin/", "/bin/"}) {
    if (::access((directory + name).c_str(), X_OK) == 0) {
      return directory + name;
    }
  }
  return {};
}

Result<std::string> require_program(const plugin::v1::StartRequest& start, const std::string& key,
                                    const std::string& standard) {
  const auto given = start.config().find(key);
  const std::string wanted = given == start.config().end() || given->second.empty()
                                 ? standard
                                 : given->second;
  std::string path = find_program(wanted);
  if (path.empty()) {
    return Error{Code::kFailedPrecondition,
                 "program '" + wanted + "' is not installed: install the package '" + standard +
                     "' or set " + key + " in the plugin's configuration",
                 "PROGRAM_MISSING"};
  }
  return path;
}

constexpr std::int64_t kLogSizeMin = 64 << 10;  // below, logs would be rotated more than written

/// The setting `key` into `number`, which stays as it is when the setting is absent.
template <class Number>
Status read_number(const plugin::v1::StartRequest& start, const std::string& key, Number least, Number& number) {
  const auto given = start.config().find(key);
  if (given == start.config().end() || given->second.empty()) {
    return ok();
  }
  const char* end = given->second.data() + given->second.size();
  const auto [stopped, error] = std::from_chars(given->second.data(), end, number);
  if (error != std::errc{} || stopped != end || number < least) {
    return Error{Code::kInvalidArgument,
                 "setting " + key + " = " + given->second + " of the plugin is wrong: give a whole number of at least " +
                     std::to_string(least)};
  }
  return ok();
}

/// The part of an installation id that may stand in a cgroup's name.
std::string cgroup_name(const std::string& installation) {
  std::string name;
  for (const char c : installation) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_';
    name += plain ? c : '_';
  }
  return name.substr(0, 64);
}

}  // namespace

Status ContainerDriver::start(const DriverContext& context) {
  env_ = &context.env;
  Cgroups cgroups(env_->disk.read_file("/proc/mounts").value_or(std::string()));
  SKEP_TRY_ASSIGN(EngineConfig config, configure(context, cgroups));
  for (const std::string& directory : {config.layout.containers(), config.layout.bundles(),
                                       config.layout.exits(), config.layout.runtime_root()}) {
    SKEP_TRY(env_->disk.make_directories(directory, 0710));
  }
  SKEP_TRY_ASSIGN(auto source, make_source(context));
  alive_ = std::make_shared<bool>(true);
  engine_ = std::make_shared<Engine>(*env_, std::move(config), std::move(cgroups), std::move(source));
  exits_ = std::make_unique<ExitWatch>(
      env_->loop, [this](const std::string& id) { on_exit_file(id); },
      [this] {
        for (Container* container : table_.all()) {
          on_exit_file(container->record.id);
        }
      });
  start_streams();
  return exits_->start(engine_->layout().exits());
}

Result<EngineConfig> ContainerDriver::configure(const DriverContext& context,
                                                const Cgroups& cgroups) {
  const auto& start = context.start;
  EngineConfig config;
  config.driver = driver_;
  SKEP_TRY_ASSIGN(config.runtime_path, require_program(start, "runtime_path", "runc"));
  SKEP_TRY_ASSIGN(config.conmon_path, require_program(start, "conmon_path", "conmon"));
  SKEP_TRY(read_number(start, "log_size_max", kLogSizeMin, config.log_size_max));
  SKEP_TRY(read_number(start, "log_files_max", std::uint32_t{1}, config.log_files_max));
  if (start.state_dir().empty() || start.run_dir().empty() || start.installation_id().empty()) {
    return Error{Code::kInvalidArgument, "the driver needs a state and a run directory and an "
                 "installation id"};
  }
  config.layout.state_dir = start.state_dir();
  config.layout.run_dir = start.run_dir();
  config.layout.cgroup_parent = "/skep-" + cgroup_name(start.installation_id()) + "/" + driver_;
  utsname names{};
  ::uname(&names);
  config.machine.architecture = names.machine;
  config.machine.capabilities = parse_bounding_set(
      env_->disk.read_file("/proc/self/status").value_or(std::string()));
  config.machine.cgroup_unified = cgroups.unified();
  config.machine.limits.swap_accounting = cgroups.swap_accounting();
  config.machine.init_path = find_program("/usr/bin/catatonit");
  config.machine.seccomp = env_->disk.exists("/proc/sys/kernel/seccomp/actions_avail");
  return config;
}

void ContainerDriver::stop() {
  if (!alive_) {
    return;
  }
  stop_streams();
  alive_.reset();
  exits_.reset();
  for (Container* container : table_.all()) {
    unwatch_container(*container);
    ContainerTable::answer_waiters(*container,
                                   Error{Code::kUnavailable, "the runtime driver is stopping"});
  }
  engine_->remove_empty_cgroups();
}

plugin::v1::StatusResponse ContainerDriver::status() {
  plugin::v1::StatusResponse response;
  response.set_healthy(engine_ != nullptr);
  if (engine_ != nullptr) {
    auto& details = *response.mutable_details();
    details["runtime_path"] = engine_->config().runtime_path;
    details["conmon_path"] = engine_->config().conmon_path;
    details["cgroups"] = engine_->cgroups().unified() ? "v2" : "v1";
    details["containers"] = std::to_string(table_.all().size());
  }
  return response;
}

Status ContainerDriver::on_worker(std::function<void()> work, std::function<void()> done) {
  return env_->workers.run(std::move(work), [weak = std::weak_ptr<bool>(alive_),
                                             done = std::move(done)] {
    if (const auto alive = weak.lock()) {
      done();
    }
  });
}

std::map<std::string, std::string> ContainerDriver::images_in_use() {
  std::map<std::string, std::string> used;
  for (const Container* container : table_.all()) {
    used.emplace(container->record.image_id, container->record.name);
  }
  return used;
}

void ContainerDriver::watch_container(Container& container) {
  container.conmon_pidfd =
      static_cast<int>(::syscall(SYS_pidfd_open, container.record.conmon_pid, 0));
  const std::string id = container.record.id;
  if (container.conmon_pidfd < 0) {
    env_->loop.post([this, id, weak = std::weak_ptr<bool>(alive_)] {
      if (const auto alive = weak.lock()) {
        on_conmon_end(id);
      }
    });
    return;
  }
  container.conmon_watch =
      env_->loop.watch_readable(container.conmon_pidfd, [this, id] { on_conmon_end(id); });
}

void ContainerDriver::unwatch_container(Container& container) {
  if (container.conmon_watch != 0) {
    env_->loop.unwatch(std::exchange(container.conmon_watch, 0));
  }
  if (container.conmon_pidfd >= 0) {
    ::close(std::exchange(container.conmon_pidfd, -1));
  }
}

void ContainerDriver::on_exit_file(const std::string& id) {
  const Container* container = table_.find(id);
  if (container == nullptr || container->record.state != runtime::v1::CONTAINER_STATE_RUNNING) {
    return;  // a start that is still under way looks for itself
  }
  if (const auto exit = engine_->read_exit(id)) {
    finish_exit(id, *exit);
  }
}

/// conmon writes the exit file before it ends; without one it was killed, and nobody reads the
/// container's output any more: the container ends too.
void ContainerDriver::on_conmon_end(const std::string& id) {
  Container* container = table_.find(id);
  if (container == nullptr || container->record.state != runtime::v1::CONTAINER_STATE_RUNNING) {
    return;
  }
  unwatch_container(*container);
  if (const auto exit = engine_->read_exit(id)) {
    return finish_exit(id, *exit);
  }
  SKEP_WARN("conmon ended without an exit status, its container is stopped", {"container", id});
  const auto engine = engine_;
  const auto status = on_worker(
      [engine, id] { engine->cgroups().kill_all(engine->layout().cgroup(id)); },
      [this, id] {
        runtime::v1::ExitStatus exit;
        constexpr int kExitCodeUnknown = 255;
        exit.set_exit_code(kExitCodeUnknown);
        exit.set_finished_at(env_->clock.wall_now());
        finish_exit(id, exit);
      });
  if (!status) {
    env_->loop.run_after(std::chrono::seconds(1), [this, id, weak = std::weak_ptr<bool>(alive_)] {
      if (const auto alive = weak.lock()) {
        on_conmon_end(id);
      }
    });
  }
}

void ContainerDriver::finish_exit(const std::string& id, const runtime::v1::ExitStatus& exit) {
  Container* container = table_.find(id);
  if (container == nullptr || container->record.state != runtime::v1::CONTAINER_STATE_RUNNING) {
    return;
  }
  unwatch_container(*container);
  ContainerRecord& record = container->record;
  record.state = runtime::v1::CONTAINER_STATE_EXITED;
  record.exit_code = exit.exit_code();
  record.oom_killed = exit.oom_killed();
  record.finished_at = exit.finished_at();
  SKEP_DEBUG("container ended", {"container", id}, {"exit_code", record.exit_code},
             {"oom_killed", record.oom_killed});
  release_later(id);
  ContainerTable::answer_waiters(*container, exit);
  end_streams(id, exit.exit_code());
}

void ContainerDriver::release_later(const std::string& id) {
  const auto queued = table_.enqueue(id, [this, id](std::function<void()> done) {
    const Container* container = table_.find(id);
    if (container == nullptr) {
      return done();
    }
    const auto engine = engine_;
    const auto status = on_worker(
        [engine, record = container->record] {
          auto saved = engine->save(record);
          auto released = engine->release(record.id);
          if (!saved || !released) {
            SKEP_WARN("container not wholly released", {"container", record.id},
                      {"cause", (saved ? released : saved).error().message});
          }
        },
        done);
    if (!status) {
      SKEP_WARN("container not released yet", {"container", id}, {"cause", status.error().message});
      done();
    }
  });
  if (!queued) {
    SKEP_WARN("container not released yet", {"container", id}, {"cause", queued.error().message});
  }
}

}  // namespace skep::oci
