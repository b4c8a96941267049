// The part of Engine that starts a container: conmon, the OCI runtime, and the first process that waits
// until it may run the container's command.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "plugins/runtime/oci/container/conmon.h"
#include "plugins/runtime/oci/container/engine.h"
#include "plugins/runtime/oci/container/fd.h"
#include "skep/log.h"
#include "skep/posix_env.h"

namespace skep::oci {
namespace {

constexpr std::chrono::seconds kStartTimeout{60};  // a busy disk may stall the runtime for long
constexpr int kStartAttempts = 5;
constexpr const char* kDiedEarly = "START_FAILED";
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

/// The OCI runtime's threads count against the container's limits while it starts: under a small limit
/// of processes it now and then gets no further one and dies (runc 1.1: one start of 150 with a limit of
/// five on a busy machine). Nothing of the container has run then, so it is tried again.
Status Engine::start(ContainerRecord& record) {
  Status status = try_start(record);
  for (int tries = 1; tries < kStartAttempts && !status && status.error().reason == kDiedEarly; ++tries) {
    SKEP_INFO("container died before its command began: started again", {"container", record.id},
              {"tries", tries});
    status = end_runtime(record.id);
    if (status) {
      status = try_start(record);
    }
  }
  if (!status) {
    end_failed(record, status.error());
    return status;
  }
  record.state = runtime::v1::CONTAINER_STATE_RUNNING;
  record.started_at = env_.clock.wall_now();
  return save(record);
}

Status Engine::try_start(ContainerRecord& record) {
  ::unlink(layout().exit_file(record.id).c_str());
  SKEP_TRY(launch(record));
  return release_init(record);
}

void Engine::end_failed(ContainerRecord& record, const Error& why) {
  record.state = runtime::v1::CONTAINER_STATE_EXITED;
  record.exit_code = exit_code_of_failed_start(why);
  record.finished_at = env_.clock.wall_now();
  if (const auto released = release(record.id); !released) {
    SKEP_WARN("container leftovers stay", {"container", record.id},
              {"cause", released.error().message});
  }
  if (const auto saved = save(record); !saved) {
    SKEP_WARN("container record not written", {"container", record.id},
              {"cause", saved.error().message});
  }
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
      return Error{Code::kInternal,
                   "the container's first process ended before its command began: are the limits of "
                   "memory or processes too small?",
                   kDiedEarly};
    }
  }
  return Error{Code::kTimeout, "the container did not start within 30 s", "START_TIMEOUT"};
}

}  // namespace skep::oci
