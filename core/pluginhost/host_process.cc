#include "core/pluginhost/host_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "skep/log.h"
#include "skep/posix_env.h"

namespace skep::host {
namespace {

constexpr off_t kLogBytesMax = 1 << 20;  // the file starts anew beyond this

/// Field 22 of /proc/PID/stat: when the process began. 0 when there is none.
std::uint64_t process_start(int pid) {
  PosixDisk disk;
  auto content = disk.read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!content) {
    return 0;
  }
  std::size_t position = content->rfind(')');  // the name may hold blanks
  for (int field = 2; field < 22 && position != std::string::npos; ++field) {
    position = content->find(' ', position + 1);
  }
  std::uint64_t start = 0;
  if (position != std::string::npos) {
    std::from_chars(content->data() + position + 1, content->data() + content->size(), start);
  }
  return start;
}

/// A sealed memory file with `data`; position at its start.
Result<int> memory_file(const std::string& data) {
  const int fd = ::memfd_create("skep-boot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) {
    return errno_error(errno, "make a memory file");
  }
  if (::write(fd, data.data(), data.size()) != static_cast<ssize_t>(data.size()) ||
      ::lseek(fd, 0, SEEK_SET) != 0 ||
      ::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
    const int error = errno;
    ::close(fd);
    return errno_error(error, "fill a memory file");
  }
  return fd;
}

int open_log(const std::string& path) {
  struct stat info {};
  const bool full = ::stat(path.c_str(), &info) == 0 && info.st_size > kLogBytesMax;
  return ::open(path.c_str(),
                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (full ? O_TRUNC : 0), 0600);
}

}  // namespace

Result<std::unique_ptr<HostProcess>> HostProcess::start(Env& env, const std::string& program,
                                                        plugin::v1::BootParams boot, Files files,
                                                        OnEnd on_end) {
  std::unique_ptr<HostProcess> process(new HostProcess(env, std::move(files), std::move(on_end)));
  ::unlink(process->files_.error.c_str());
  boot.set_error_file(process->files_.error);
  SKEP_TRY_ASSIGN(const int boot_fd, memory_file(boot.SerializeAsString()));
  const int log_fd = open_log(process->files_.log);
  if (log_fd < 0) {
    const int error = errno;
    ::close(boot_fd);
    return errno_error(error, process->files_.log + ": open");
  }
  constexpr int kBootFd = 3;  // agent-plugin-host --boot-fd 3
  auto child = env.subprocess.start(
      {.argv = {program, "--boot-fd", std::to_string(kBootFd)},
       .fds = {{log_fd, 1}, {log_fd, 2}, {boot_fd, kBootFd}},
       .new_session = true});
  ::close(boot_fd);
  ::close(log_fd);
  if (!child) {
    return std::move(child).error().with_context("plugin '" + boot.id() + "'");
  }
  process->pidfd_ = child->pidfd;
  process->child_ = true;
  auto& record = process->record_;
  record.set_pid(child->pid);
  record.set_process_start(process_start(child->pid));
  record.set_token(boot.token());
  record.set_instance(boot.instance());
  record.set_path(boot.path());
  record.set_started_at(env.clock.wall_now());
  process->watch();
  if (auto written = env.disk.write_file_atomic(process->files_.record, record.SerializeAsString(), 0600); !written) {
    process->signal(SIGKILL);  // without its record no later agent would find it
    return std::move(written).error();
  }
  return process;
}

std::unique_ptr<HostProcess> HostProcess::adopt(Env& env, Files files, OnEnd on_end) {
  auto content = env.disk.read_file(files.record);
  plugin::v1::HostRecord record;
  if (!content || !record.ParseFromString(*content) || record.pid() <= 1) {
    return nullptr;
  }
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, record.pid(), 0));
  if (pidfd < 0 || process_start(record.pid()) != record.process_start()) {
    if (pidfd >= 0) {
      ::close(pidfd);
    }
    return nullptr;
  }
  std::unique_ptr<HostProcess> process(new HostProcess(env, std::move(files), std::move(on_end)));
  process->record_ = record;
  process->pidfd_ = pidfd;
  process->watch();
  return process;
}

HostProcess::~HostProcess() {
  if (watch_ != 0) {
    env_.loop.unwatch(watch_);
  }
  if (pidfd_ >= 0) {
    ::close(pidfd_);
  }
}

void HostProcess::watch() {
  watch_ = env_.loop.watch_readable(pidfd_, [this] {
    env_.loop.unwatch(std::exchange(watch_, 0));
    int code = -1;
    siginfo_t info{};
    if (child_ && ::waitid(P_PIDFD, static_cast<id_t>(pidfd_), &info, WEXITED) == 0) {
      code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    }
    ::unlink(files_.record.c_str());
    on_end_(code);  // may destroy this
  });
}

void HostProcess::signal(int number) const {
  if (watch_ != 0) {
    ::syscall(SYS_pidfd_send_signal, pidfd_, number, nullptr, 0);
  }
}

bool HostProcess::wait_end(Duration limit) const {
  pollfd ended{.fd = pidfd_, .events = POLLIN, .revents = 0};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(limit).count();
  return watch_ == 0 || ::poll(&ended, 1, static_cast<int>(std::max<std::int64_t>(ms, 0))) == 1;
}

Result<plugin::v1::StartFailure> HostProcess::take_failure() {
  SKEP_TRY_ASSIGN(const std::string content, env_.disk.read_file(files_.error));
  ::unlink(files_.error.c_str());
  plugin::v1::StartFailure failure;
  if (!failure.ParseFromString(content)) {
    return Error{Code::kDataLoss, files_.error + ": is damaged"};
  }
  return failure;
}

}  // namespace skep::host
