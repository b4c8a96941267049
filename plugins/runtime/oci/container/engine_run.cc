// The part of Engine that starts, signals and removes.

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
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
namespace {

constexpr std::chrono::seconds kStartTimeout{60};  // a busy disk may stall the runtime for long
constexpr std::chrono::seconds kCommandTimeout{30};
constexpr int kSyncFd = 3;
constexpr std::size_t kSyncLineMax = 32 * 1024;

int milliseconds_until(Clock& clock, TimePoint deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock.now());
  return left.count() <= 0 ? 0 : static_cast<int>(left.count()) + 1;
}

std::string first_text(int fd) {
  std::string text(4096, '\0');
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  return text;
}

}  // namespace

Status Engine::start(ContainerRecord& record) {
  ::unlink(layout().exit_file(record.id).c_str());
  Status status = launch(record);
  if (status) {
    status = release_init(record);
  }
  if (!status) {
    record.state = runtime::v1::CONTAINER_STATE_EXITED;
    record.exit_code = exit_code_of_failed_start(status.error());
    record.finished_at = env_.clock.wall_now();
    if (const auto released = release(record.id); !released) {
      SKEP_WARN("container leftovers stay", {"container", record.id},
                {"cause", released.error().message});
    }
    if (const auto saved = save(record); !saved) {
      SKEP_WARN("container record not written", {"container", record.id},
                {"cause", saved.error().message});
    }
    return status;
  }
  record.state = runtime::v1::CONTAINER_STATE_RUNNING;
  record.started_at = env_.clock.wall_now();
  return save(record);
}

Status Engine::launch(ContainerRecord& record) {
  const std::string bundle = layout().bundle(record.id);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return errno_error(errno, "make a pipe");
  }
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const UniqueFd errors(::memfd_create("conmon-stderr", MFD_CLOEXEC));
  ProcessSpec spec;
  spec.argv = conmon_argv({.conmon_path = config_.conmon_path,
                           .runtime_path = config_.runtime_path,
                           .runtime_root = layout().runtime_root(),
                           .container_id = record.id,
                           .bundle = bundle,
                           .exit_dir = layout().exits(),
                           .log_path = layout().log(record.id),
                           .tty = record.tty,
                           .open_stdin = record.open_stdin});
  spec.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                      "_OCI_SYNCPIPE=" + std::to_string(kSyncFd)};
  spec.directory = bundle;
  spec.fds = {{errors.get(), 2}, {write_end.get(), kSyncFd}};
  spec.new_session = true;
  SKEP_TRY_ASSIGN(const auto child, env_.subprocess.start(spec));
  write_end.reset();
  auto pid = await_sync(child, read_end.get(), errors.get());
  if (!pid) {
    if (pid.error().reason == "RUNTIME_FAILED") {
      return explain_runtime_error(pid.error().message,
                                   record.command.empty() ? "" : record.command.front(),
                                   config_.runtime_path);
    }
    return std::move(pid).error();
  }
  record.pid = *pid;
  SKEP_TRY_ASSIGN(const std::string conmon_pid, env_.disk.read_file(bundle + "/conmon.pid"));
  record.conmon_pid = std::atoi(conmon_pid.c_str());
  return ok();
}

/// conmon's first process forks and ends at once; its child writes one line when the OCI runtime
/// has created the container.
Result<int> Engine::await_sync(const Subprocess::Child& conmon, int sync_fd, int error_fd) {
  const TimePoint deadline = env_.clock.now() + kStartTimeout;
  const UniqueFd pidfd(conmon.pidfd);
  std::string line;
  while (line.find('\n') == std::string::npos && line.size() < kSyncLineMax) {
    pollfd wait{sync_fd, POLLIN, 0};
    const int ready = ::poll(&wait, 1, milliseconds_until(env_.clock, deadline));
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    std::array<char, 4096> buffer;
    const ssize_t got = ready > 0 ? ::read(sync_fd, buffer.data(), buffer.size()) : 0;
    if (got <= 0) {
      break;
    }
    line.append(buffer.data(), static_cast<std::size_t>(got));
  }
  siginfo_t info{};
  const auto reap = [&] {
    ::waitid(P_PID, static_cast<id_t>(conmon.pid), &info, WEXITED);
  };
  if (line.empty() && milliseconds_until(env_.clock, deadline) == 0) {
    ::kill(conmon.pid, SIGKILL);
    reap();
    return Error{Code::kTimeout, "the container did not start within 60 s: is the disk stalled?",
                 "START_TIMEOUT"};
  }
  reap();
  if (line.empty()) {
    return Error{Code::kInternal, "conmon failed: " + first_text(error_fd), "CONMON_FAILED"};
  }
  return parse_sync_line(line);
}

/// The container's first process waits at a named pipe until somebody opens it for reading; that is
/// all that "runc start" does, and doing it here saves a process. Runtimes without the pipe are
/// asked the long way.
Status Engine::release_init(const ContainerRecord& record) {
  const std::string fifo = layout().runtime_root() + "/" + record.id + "/exec.fifo";
  struct stat info {};
  if (::lstat(fifo.c_str(), &info) != 0 || !S_ISFIFO(info.st_mode)) {
    SKEP_TRY_ASSIGN(const ProcessResult result,
                    env_.subprocess.run({.argv = {config_.runtime_path, "--root",
                                                  layout().runtime_root(), "start", record.id}},
                                        kCommandTimeout));
    return result.exit_code == 0 ? ok()
                                 : Status(explain_runtime_error(result.err, record.command.front(),
                                                                config_.runtime_path));
  }
  const UniqueFd fd(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) {
    return errno_error(errno, fifo + ": open");
  }
  const TimePoint deadline = env_.clock.now() + kCommandTimeout;
  while (env_.clock.now() < deadline) {
    constexpr int kSliceMs = 100;  // notices a first process that died before it wrote
    pollfd wait{fd.get(), POLLIN, 0};
    if (::poll(&wait, 1, kSliceMs) > 0) {
      char byte = 0;
      if (::read(fd.get(), &byte, 1) == 1) {
        ::unlink(fifo.c_str());  // its absence is how the runtime knows "running"
        return ok();
      }
    }
    if (read_exit(record.id) || ::kill(record.pid, 0) != 0) {
      return Error{Code::kInternal, "the container's first process ended before it was started",
                   "START_FAILED"};
    }
  }
  return Error{Code::kTimeout, "the container did not start within 30 s", "START_TIMEOUT"};
}

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

Status Engine::release(const std::string& id) {
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
  SKEP_TRY(cgroups_.remove(cgroup));
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
