#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "skep/posix_env.h"

namespace skep {
namespace {

constexpr const char* kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An fd closed by its destructor.
class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }
  [[nodiscard]] int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1) {
    if (fd_ >= 0) {
      ::close(fd_);
    }
    fd_ = fd;
  }

 private:
  int fd_;
};

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return errno_error(errno, "make a pipe");
  }
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// posix_spawn's attribute objects with their clean-up.
struct SpawnSetup {
  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
  SpawnSetup() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
  ~SpawnSetup() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
};

void prepare(SpawnSetup& setup, const ProcessSpec& spec, int in, int out, int err) {
  ::posix_spawn_file_actions_adddup2(&setup.actions, in, 0);
  ::posix_spawn_file_actions_adddup2(&setup.actions, out, 1);
  ::posix_spawn_file_actions_adddup2(&setup.actions, err, 2);
  for (const auto& [ours, theirs] : spec.fds) {
    ::posix_spawn_file_actions_adddup2(&setup.actions, ours, theirs);
  }
  if (!spec.directory.empty()) {
    ::posix_spawn_file_actions_addchdir_np(&setup.actions, spec.directory.c_str());
  }
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&setup.attributes, &none);
  ::posix_spawnattr_setsigdefault(&setup.attributes, &all);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (spec.new_session) {
    flags = static_cast<short>(flags | POSIX_SPAWN_SETSID);
  }
  ::posix_spawnattr_setflags(&setup.attributes, flags);
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& text : strings) {
    out.push_back(const_cast<char*>(text.c_str()));
  }
  out.push_back(nullptr);
  return out;
}

Result<Subprocess::Child> spawn(const ProcessSpec& spec, int in, int out, int err) {
  SKEP_ASSERT(!spec.argv.empty(), "a process needs a program");
  SpawnSetup setup;
  prepare(setup, spec, in, out, err);
  std::vector<std::string> environment = spec.environment;
  if (environment.empty()) {
    environment.emplace_back(kDefaultPath);
  }
  const auto argv = pointers(spec.argv);
  const auto envp = pointers(environment);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, argv[0], &setup.actions, &setup.attributes, argv.data(),
                                   envp.data());
  if (error != 0) {
    return errno_error(error, "start program '" + spec.argv[0] + "'");
  }
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) {
    return errno_error(errno, "watch program '" + spec.argv[0] + "'");
  }
  return Subprocess::Child{pid, pidfd};
}

int exit_code_of(const siginfo_t& info) {
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

/// Moves bytes between a running child and memory until it ended or the deadline passed.
class Conversation {
 public:
  Conversation(const ProcessSpec& spec, Pipe in, Pipe out, Pipe err, Subprocess::Child child)
      : spec_(spec), in_(std::move(in.write_end)), out_(std::move(out.read_end)),
        err_(std::move(err.read_end)), pidfd_(child.pidfd), pid_(child.pid) {
    for (const int fd : {in_.get(), out_.get(), err_.get()}) {
      ::fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    if (spec_.stdin_data.empty()) {
      in_.reset();
    }
  }

  Result<ProcessResult> hold(TimePoint deadline) {
    PosixClock clock;
    bool exited = false;
    siginfo_t info{};
    // A grandchild may keep the pipes open: what it writes after our child ended is not waited for.
    while (!exited) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock.now());
      if (left.count() <= 0) {
        ::kill(pid_, SIGKILL);
        ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
        return Error{Code::kTimeout, "program '" + spec_.argv[0] + "' did not end in time and was killed"};
      }
      std::array<pollfd, 4> fds{{{pidfd_.get(), POLLIN, 0}, {in_.get(), POLLOUT, 0},
                                 {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}}};
      ::poll(fds.data(), fds.size(), static_cast<int>(std::min<long long>(left.count(), 60'000)));
      feed();
      drain(out_, result_.out);
      drain(err_, result_.err);
      exited = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) == 0 &&
               info.si_pid == pid_;
    }
    drain(out_, result_.out);
    drain(err_, result_.err);
    result_.exit_code = exit_code_of(info);
    return std::move(result_);
  }

 private:
  void feed() {
    while (in_.get() >= 0) {
      const ssize_t put = ::write(in_.get(), spec_.stdin_data.data() + fed_,
                                  spec_.stdin_data.size() - fed_);
      if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
      }
      fed_ += put > 0 ? static_cast<std::size_t>(put) : 0;
      if (put < 0 || fed_ == spec_.stdin_data.size()) {
        in_.reset();  // all fed, or the child closed its end: EPIPE is its choice
      }
    }
  }
  void drain(UniqueFd& fd, std::string& into) const {
    std::array<char, 16 * 1024> buffer;
    while (fd.get() >= 0) {
      const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
      if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) {
          fd.reset();
        }
        return;
      }
      if (got == 0) {
        fd.reset();
        return;
      }
      const std::size_t room = spec_.output_max - std::min(spec_.output_max, into.size());
      into.append(buffer.data(), std::min(room, static_cast<std::size_t>(got)));
    }
  }

  const ProcessSpec& spec_;
  UniqueFd in_;
  UniqueFd out_;
  UniqueFd err_;
  UniqueFd pidfd_;
  int pid_;
  std::size_t fed_ = 0;
  ProcessResult result_;
};

/// Writing to a child that closed its stdin must be an error, not a signal.
class SigpipeBlocked {
 public:
  SigpipeBlocked() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~SigpipeBlocked() {
    const timespec now{};
    while (::sigtimedwait(&pipe_, nullptr, &now) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeBlocked(const SigpipeBlocked&) = delete;
  SigpipeBlocked& operator=(const SigpipeBlocked&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
};

}  // namespace

Result<ProcessResult> PosixSubprocess::run(const ProcessSpec& spec, Duration deadline) {
  const TimePoint until = PosixClock().now() + deadline;
  SKEP_TRY_ASSIGN(Pipe in, make_pipe());
  SKEP_TRY_ASSIGN(Pipe out, make_pipe());
  SKEP_TRY_ASSIGN(Pipe err, make_pipe());
  SKEP_TRY_ASSIGN(const Child child, spawn(spec, in.read_end.get(), out.write_end.get(),
                                           err.write_end.get()));
  in.read_end.reset();
  out.write_end.reset();
  err.write_end.reset();
  const SigpipeBlocked no_sigpipe;
  return Conversation(spec, std::move(in), std::move(out), std::move(err), child).hold(until);
}

Result<Subprocess::Child> PosixSubprocess::start(const ProcessSpec& spec) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null.get() < 0) {
    return errno_error(errno, "/dev/null: open");
  }
  return spawn(spec, null.get(), null.get(), null.get());
}

}  // namespace skep
