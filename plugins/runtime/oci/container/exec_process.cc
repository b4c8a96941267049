#include "plugins/runtime/oci/container/exec_process.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "plugins/runtime/oci/container/root_path.h"
#include "plugins/runtime/oci/container/spec.h"
#include "plugins/runtime/oci/container/user.h"
#include "skep/posix_env.h"

namespace skep::oci {
namespace {

/// Our ends go into `exec`, the child's into fds 0, 1 and 2.
struct ChildEnds {
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
};

void set_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

Result<ChildEnds> make_pipes(StartedExec& exec, bool open_stdin) {
  ChildEnds ends;
  std::array<int, 2> pair{};
  if (!open_stdin) {
    ends.in = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  } else if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0) {
    exec.input = UniqueFd(pair[0]);  // a socket, because writing to it can be told not to raise SIGPIPE
    ends.in = UniqueFd(pair[1]);
    set_nonblocking(exec.input.get());
  }
  if (!ends.in.valid()) {
    return errno_error(errno, "make standard input");
  }
  for (auto [ours, theirs] : {std::pair{&exec.output, &ends.out}, {&exec.errors, &ends.err}}) {
    if (::pipe2(pair.data(), O_CLOEXEC) != 0) {
      return errno_error(errno, "make a pipe");
    }
    *ours = UniqueFd(pair[0]);
    *theirs = UniqueFd(pair[1]);
    set_nonblocking(ours->get());
  }
  return ends;
}

Result<ChildEnds> make_terminal(StartedExec& exec, TerminalSize size) {
  int master = -1;
  int slave = -1;
  if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) {
    return errno_error(errno, "make a terminal");
  }
  exec.output = UniqueFd(master);
  ChildEnds ends;
  ends.in = UniqueFd(slave);
  ::fcntl(master, F_SETFD, FD_CLOEXEC);
  ::fcntl(slave, F_SETFD, FD_CLOEXEC);
  set_nonblocking(master);
  resize_terminal(master, size);
  return ends;
}

Result<std::string> process_json(Env& env, const Engine& engine, const ContainerRecord& record,
                                 const runtime::v1::ExecStart& wanted) {
  if (wanted.command_size() == 0 || wanted.command(0).empty()) {
    return Error{Code::kInvalidArgument, "exec needs a command", "NO_COMMAND"};
  }
  ExecProcess process;
  process.args = {wanted.command().begin(), wanted.command().end()};
  process.env = {wanted.env().begin(), wanted.env().end()};
  process.directory = wanted.directory();
  process.tty = wanted.tty();
  if (!wanted.directory().empty() && wanted.directory().front() != '/') {
    return Error{Code::kInvalidArgument,
                 "working directory '" + wanted.directory() + "' is not absolute", "BAD_DIRECTORY"};
  }
  if (!wanted.user().empty()) {
    const std::string root = engine.layout().rootfs(record.id);
    SKEP_TRY_ASSIGN(const std::string passwd, read_in_root(root, "/etc/passwd"));
    SKEP_TRY_ASSIGN(const std::string group, read_in_root(root, "/etc/group"));
    SKEP_TRY_ASSIGN(process.user, resolve_user(wanted.user(), {}, passwd, group));
    process.user_given = true;
  }
  SKEP_TRY_ASSIGN(const std::string config,
                  env.disk.read_file(engine.layout().bundle(record.id) + "/config.json"));
  return build_exec_process(config, process);
}

}  // namespace

void resize_terminal(int master, TerminalSize size) {
  if (size.rows == 0 || size.columns == 0) {
    return;
  }
  winsize window{};
  window.ws_row = static_cast<unsigned short>(std::min<std::uint32_t>(size.rows, 0xffff));
  window.ws_col = static_cast<unsigned short>(std::min<std::uint32_t>(size.columns, 0xffff));
  ::ioctl(master, TIOCSWINSZ, &window);
}

Result<StartedExec> start_exec(Env& env, const Engine& engine, const ContainerRecord& record,
                               const runtime::v1::ExecStart& wanted, TerminalSize size,
                               std::uint64_t number) {
  SKEP_TRY_ASSIGN(const std::string json, process_json(env, engine, record, wanted));
  const std::string base = engine.layout().bundle(record.id) + "/exec-" + std::to_string(number);
  StartedExec exec;
  exec.pid_file = base + ".pid";
  exec.process_file = base + ".json";
  ::unlink(exec.pid_file.c_str());  // of an earlier life of the agent
  {
    SKEP_TRY_ASSIGN(const auto file, env.disk.open(exec.process_file, OpenMode::kCreate));
    SKEP_TRY(file->truncate(0));
    SKEP_TRY(file->write(0, json));
  }
  SKEP_TRY_ASSIGN(const ChildEnds ends, wanted.tty() ? make_terminal(exec, size)
                                                     : make_pipes(exec, wanted.open_stdin()));
  const int err = ends.err.valid() ? ends.err.get() : ends.in.get();
  const int out = ends.out.valid() ? ends.out.get() : ends.in.get();
  ProcessSpec spec;
  spec.argv = {engine.config().runtime_path, "--root", engine.layout().runtime_root(), "exec",
               "--process", exec.process_file, "--pid-file", exec.pid_file, record.id};
  spec.fds = {{ends.in.get(), 0}, {out, 1}, {err, 2}};
  spec.new_session = true;  // a terminal's signals are for the process inside, not for the agent
  auto child = env.subprocess.start(spec);
  if (!child) {
    ::unlink(exec.process_file.c_str());
    return std::move(child).error();
  }
  exec.pid = child->pid;
  exec.pidfd = UniqueFd(child->pidfd);
  return exec;
}

}  // namespace skep::oci
