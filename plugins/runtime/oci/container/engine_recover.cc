// The part of Engine that finds containers again after a crash or a reboot.

#include <sys/stat.h>

#include <cstdlib>

#include "plugins/runtime/oci/container/engine.h"
#include "plugins/runtime/oci/container/overlay.h"
#include "skep/log.h"

namespace skep::oci {
namespace {

/// Nobody saw the end: Docker's code for that.
constexpr int kExitCodeUnknown = 255;

}  // namespace

Result<ContainerRecord> Engine::load(const std::string& id) {
  SKEP_TRY_ASSIGN(const std::string text, env_.disk.read_file(layout().record(id)));
  return decode_record(text);
}

Result<std::vector<ContainerRecord>> Engine::stored() {
  SKEP_TRY_ASSIGN(const std::vector<std::string> ids, known_ids());
  std::vector<ContainerRecord> records;
  for (const std::string& id : ids) {
    if (auto record = load(id)) {
      records.push_back(*std::move(record));
    }
  }
  return records;
}

Result<ContainerRecord> Engine::recover(const std::string& id) {
  auto record = load(id);
  if (!record) {
    SKEP_WARN("container without a usable record removed", {"container", id},
              {"cause", record.error().message});
    SKEP_TRY(purge(id));
    return Error{Code::kNotFound, "container '" + id + "' left no usable record",
                 "CONTAINER_NOT_FOUND"};
  }
  switch (record->state) {
    case runtime::v1::CONTAINER_STATE_CREATED:
      SKEP_TRY(recover_created(*record));
      break;
    case runtime::v1::CONTAINER_STATE_RUNNING:
      SKEP_TRY(recover_running(*record));
      break;
    case runtime::v1::CONTAINER_STATE_UNKNOWN:
    case runtime::v1::CONTAINER_STATE_EXITED:
    case runtime::v1::ContainerState_INT_MIN_SENTINEL_DO_NOT_USE_:
    case runtime::v1::ContainerState_INT_MAX_SENTINEL_DO_NOT_USE_:
      record->state = runtime::v1::CONTAINER_STATE_EXITED;
      SKEP_TRY(release(id));
      break;
  }
  return record;
}

/// The crash may have come in the middle of start(): then conmon runs although the record does not
/// say so. A container that still waits to be let go is taken back to created, one that runs or
/// ended is taken as it is.
Status Engine::recover_created(ContainerRecord& record) {
  const std::string& id = record.id;
  const std::string bundle = layout().bundle(id);
  const auto pid_text = env_.disk.read_file(bundle + "/conmon.pid");
  const int conmon_pid = pid_text ? std::atoi(pid_text->c_str()) : 0;
  const bool started = read_exit(id) || is_conmon(conmon_pid, id);
  const std::string state = layout().runtime_root() + "/" + id;
  if (started && !env_.disk.exists(state + "/exec.fifo")) {
    const auto init = env_.disk.read_file(bundle + "/pid");
    record.conmon_pid = conmon_pid;
    record.pid = init ? std::atoi(init->c_str()) : 0;
    record.started_at = record.created_at;
    return recover_running(record);
  }
  if (env_.disk.exists(state)) {
    cgroups_.kill_all(layout().cgroup(id));
    SKEP_TRY_ASSIGN(const ProcessResult result,
                    env_.subprocess.run({.argv = {config_.runtime_path, "--root",
                                                  layout().runtime_root(), "delete", "--force", id}},
                                        std::chrono::seconds(30)));
    if (result.exit_code != 0) {
      SKEP_TRY(env_.disk.remove_tree(state));
    }
  }
  if (is_mount_point(layout().rootfs(id)) && env_.disk.exists(bundle + "/config.json")) {
    return ok();
  }
  record.state = runtime::v1::CONTAINER_STATE_EXITED;  // the machine was restarted
  record.exit_code = kExitCodeUnknown;
  record.finished_at = env_.clock.wall_now();
  SKEP_TRY(release(id));
  return save(record);
}

Status Engine::recover_running(ContainerRecord& record) {
  const auto exit = read_exit(record.id);
  if (!exit && is_conmon(record.conmon_pid, record.id)) {
    record.state = runtime::v1::CONTAINER_STATE_RUNNING;
    return save(record);
  }
  record.state = runtime::v1::CONTAINER_STATE_EXITED;
  record.exit_code = exit ? exit->exit_code() : kExitCodeUnknown;
  record.oom_killed = exit && exit->oom_killed();
  record.finished_at = exit ? exit->finished_at() : env_.clock.wall_now();
  SKEP_TRY(release(record.id));
  return save(record);
}

}  // namespace skep::oci
