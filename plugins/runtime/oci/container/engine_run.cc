// The part of Engine that signals, ends and removes.

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <set>

#include "plugins/runtime/oci/container/conmon.h"
#include "plugins/runtime/oci/container/engine.h"
#include "plugins/runtime/oci/container/fd.h"
#include "plugins/runtime/oci/container/overlay.h"
#include "skep/log.h"
#include "skep/posix_env.h"

namespace skep::oci {

Status Engine::signal(const ContainerRecord& record, int number) {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, record.pid, 0)));
  // The cgroup proves that the number still means this container.
  const std::string cgroup =
      env_.disk.read_file("/proc/" + std::to_string(record.pid) + "/cgroup").value_or(std::string());
  if (record.pid <= 0 || !pidfd.valid() || !Cgroups::holds(cgroup, layout().cgroup(record.id))) {
    return Error{Code::kNotFound, "container '" + record.id + "' does not run", "NOT_RUNNING"};
  }
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0) != 0) {
    return errno == ESRCH ? Status(Error{Code::kNotFound, "container '" + record.id +
                                         "' does not run", "NOT_RUNNING"})
                          : Status(errno_error(errno, "signal container '" + record.id + "'"));
  }
  return ok();
}

/// conmon ends a moment after its container; it must not write into directories that are going.
void Engine::await_conmon(const std::string& id) {
  const auto text = env_.disk.read_file(layout().bundle(id) + "/conmon.pid");
  const int pid = text ? std::atoi(text->c_str()) : 0;
  const UniqueFd pidfd(pid > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1);
  if (!pidfd.valid() || !is_conmon(pid, id)) {
    return;
  }
  constexpr int kPatienceMs = 2'000;
  pollfd wait{pidfd.get(), POLLIN, 0};
  if (::poll(&wait, 1, kPatienceMs) == 0) {
    ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    ::poll(&wait, 1, kPatienceMs);
  }
}

Status Engine::end_runtime(const std::string& id) {
  const std::string cgroup = layout().cgroup(id);
  cgroups_.kill_all(cgroup);
  await_conmon(id);
  if (env_.disk.exists(layout().runtime_root() + "/" + id)) {
    auto result = env_.subprocess.run(
        {.argv = {config_.runtime_path, "--root", layout().runtime_root(), "delete", "--force", id}},
        kCommandTimeout);
    if (!result || result->exit_code != 0) {
      SKEP_WARN("OCI runtime could not delete a container", {"container", id},
                {"cause", result ? result->err : result.error().message});
      SKEP_TRY(env_.disk.remove_tree(layout().runtime_root() + "/" + id));
    }
  }
  return cgroups_.remove(cgroup);
}

Status Engine::release(const std::string& id) {
  SKEP_TRY(end_runtime(id));
  return unmount_tree(layout().rootfs(id));
}

Status Engine::purge(const std::string& id) {
  SKEP_TRY(release(id));
  SKEP_TRY(env_.disk.remove_tree(layout().bundle(id)));
  ::unlink(layout().exit_file(id).c_str());
  return env_.disk.remove_tree(layout().state(id));
}

Result<std::vector<std::string>> Engine::known_ids() {
  std::set<std::string> ids;
  for (const std::string& directory :
       {layout().containers(), layout().bundles(), layout().runtime_root(), layout().exits()}) {
    auto names = env_.disk.list_directory(directory);
    if (!names && names.error().code != Code::kNotFound) {
      return std::move(names).error();
    }
    if (names) {
      ids.insert(names->begin(), names->end());
    }
  }
  for (const std::string& name : cgroups_.children(layout().cgroup_parent)) {
    ids.insert(name);
  }
  return std::vector<std::string>(ids.begin(), ids.end());
}

void Engine::remove_empty_cgroups() {
  // Not while one is half made: its OCI runtime may just need the group.
  if (const auto ids = known_ids(); ids && ids->empty()) {
    cgroups_.remove_empty(layout().cgroup_parent);
  }
}

std::optional<runtime::v1::ExitStatus> Engine::read_exit(const std::string& id) const {
  const std::string path = layout().exit_file(id);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return std::nullopt;
  }
  const auto text = env_.disk.read_file(path);
  const auto code = text ? parse_exit_file(*text) : std::nullopt;
  if (!code) {
    return std::nullopt;
  }
  runtime::v1::ExitStatus exit;
  exit.set_exit_code(*code);
  exit.set_oom_killed(*code != 0 && cgroups_.oom_kills(layout().cgroup(id)) > 0);
  exit.set_finished_at(info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec);
  return exit;
}

bool Engine::is_conmon(int pid, const std::string& id) const {
  if (pid <= 0) {
    return false;
  }
  const auto words = env_.disk.read_file("/proc/" + std::to_string(pid) + "/cmdline");
  const std::string zero(1, '\0');
  return words && words->find("conmon") != std::string::npos &&
         words->find(zero + id + zero) != std::string::npos;
}

}  // namespace skep::oci
