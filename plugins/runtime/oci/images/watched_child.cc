#include "plugins/runtime/oci/images/watched_child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "skep/posix_env.h"

namespace skep::oci {
namespace {

constexpr std::size_t kErrorTextMax = 64u << 10;

struct Pipe {
  OwnedFd read_end;
  OwnedFd write_end;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return errno_error(errno, "make a pipe");
  }
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return Pipe{OwnedFd(ends[0]), OwnedFd(ends[1])};
}

/// Appends what is there to `into`; closes the fd at the end of the stream.
void drain(OwnedFd& fd, std::string& into) {
  std::array<char, 64 * 1024> buffer;
  while (fd) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got > 0) {
      into.append(buffer.data(), static_cast<std::size_t>(got));
      continue;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      fd.close();
    }
    return;
  }
}

class Watch {
 public:
  Watch(Env& env, const ProcessSpec& spec, const ChildOptions& options, const Cancel& cancel)
      : env_(env), spec_(spec), options_(options), cancel_(cancel) {}

  Result<ProcessResult> run() {
    const TimePoint until = env_.clock.now() + options_.deadline;
    SKEP_TRY(start());
    while (!reaped()) {
      SKEP_TRY(wait(until));
      read_output();
      if (result_.out.size() > options_.output_max) {
        return give_up(Error{Code::kResourceExhausted,
                             "program '" + spec_.argv[0] + "' printed too much and was ended"});
      }
    }
    read_output();
    return std::move(result_);
  }

 private:
  Status start() {
    SKEP_TRY_ASSIGN(Pipe out, make_pipe());
    SKEP_TRY_ASSIGN(Pipe err, make_pipe());
    ProcessSpec spec = spec_;
    spec.fds = {{out.write_end.get(), 1}, {err.write_end.get(), 2}};
    SKEP_TRY_ASSIGN(const Subprocess::Child child, env_.subprocess.start(spec));
    pidfd_ = OwnedFd(child.pidfd);
    out_ = std::move(out.read_end);
    err_ = std::move(err.read_end);
    return ok();
  }

  Status wait(TimePoint until) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - env_.clock.now());
    if (left.count() <= 0) {
      return give_up(Error{Code::kTimeout,
                           "program '" + spec_.argv[0] + "' did not end in time and was ended"});
    }
    if (cancel_.is_set()) {
      return give_up(Error{Code::kCancelled, "program '" + spec_.argv[0] + "' was cancelled"});
    }
    std::array<pollfd, 4> fds{{{pidfd_.get(), POLLIN, 0},
                               {out_.get(), POLLIN, 0},
                               {err_.get(), POLLIN, 0},
                               {cancel_.fd(), POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), static_cast<int>(std::min<long long>(left.count(), 60'000)));
    return ok();
  }

  bool reaped() {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) != 0 ||
        info.si_pid == 0) {
      return false;
    }
    result_.exit_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    return true;
  }

  Error give_up(Error error) {
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    siginfo_t info{};
    ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);
    return error;
  }

  void read_output() {
    drain(out_, result_.out);
    drain(err_, result_.err);
    if (result_.err.size() > kErrorTextMax) {  // its last words matter
      result_.err.erase(0, result_.err.size() - kErrorTextMax);
    }
    while (options_.on_line) {
      const std::size_t end = result_.out.find('\n', told_);
      if (end == std::string::npos) {
        return;
      }
      options_.on_line(std::string_view(result_.out).substr(told_, end - told_));
      told_ = end + 1;
    }
  }

  Env& env_;
  const ProcessSpec& spec_;
  const ChildOptions& options_;
  const Cancel& cancel_;
  OwnedFd pidfd_;
  OwnedFd out_;
  OwnedFd err_;
  std::size_t told_ = 0;
  ProcessResult result_;
};

}  // namespace

Cancel::Cancel() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  SKEP_ASSERT(event_.get() >= 0, "a process that cannot open one more fd cannot work");
}

void Cancel::set() {
  set_.store(true);
  ::eventfd_write(event_.get(), 1);
}

Result<ProcessResult> run_child(Env& env, const ProcessSpec& spec, const ChildOptions& options,
                                const Cancel& cancel) {
  return Watch(env, spec, options, cancel).run();
}

}  // namespace skep::oci
