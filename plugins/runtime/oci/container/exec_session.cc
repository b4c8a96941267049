#include "plugins/runtime/oci/container/exec_session.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "plugins/runtime/oci/container/conmon.h"

namespace skep::oci {
namespace {

constexpr std::size_t kEarlyMax = 16 * 1024;  // no runtime complains at such length
constexpr std::chrono::milliseconds kStartPoll{5};

runtime::v1::ExecOutput chunk_of(std::uint32_t stream, std::string_view data) {
  runtime::v1::ExecOutput message;
  message.set_stream(stream);
  message.set_data(std::string(data));
  return message;
}

}  // namespace

ExecSession::ExecSession(Env& env, std::shared_ptr<Engine> engine, Stream stream,
                         std::function<void(ExecSession*)> on_over)
    : env_(env),
      engine_(std::move(engine)),
      stream_(std::move(stream)),
      on_over_(std::move(on_over)),
      input_(std::make_unique<InputFeed>(env.loop, stream_.raw())) {}

ExecSession::~ExecSession() {
  on_over_ = nullptr;  // the owner is letting go already
  over();
}

void ExecSession::begin(const ContainerRecord& record, const runtime::v1::ExecInput& first,
                        std::uint64_t number) {
  record_ = record;
  const std::weak_ptr<ExecSession> weak = weak_from_this();
  stream_.raw()->set_handlers(
      [weak](const rpc::Body& body) {
        const auto self = weak.lock();
        if (auto input = rpc::parse<runtime::v1::ExecInput>(body); self && input) {
          self->on_input(*input);
        }
      },
      [weak] {
        if (const auto self = weak.lock()) {
          self->input_->end();
        }
      },
      [weak] {
        if (const auto self = weak.lock()) {
          self->abort(Error{Code::kCancelled, "the caller is gone"});
        }
      },
      [weak] {
        if (const auto self = weak.lock(); self && !self->over_) {
          self->release_early();
          for (const auto& pump : {self->output_.get(), self->errors_.get()}) {
            if (pump != nullptr) {
              pump->resume();
            }
          }
          self->finish_when_drained();
        }
      });
  tty_ = first.start().tty();
  on_input(first);
  auto result = std::make_shared<Result<StartedExec>>(Error{});
  auto status = env_.workers.run(
      [&env = env_, engine = engine_, record, wanted = first.start(), size = size_, number, result] {
        *result = start_exec(env, *engine, record, wanted, size, number);
      },
      [weak, result] {
        const auto self = weak.lock();
        if (!*result) {
          if (self) {
            self->abort(std::move(result->error()));
          }
        } else if (!self || self->over_) {
          // The caller left while it started: nobody will reap it but us.
          ::kill((**result).pid, SIGKILL);
          siginfo_t info{};
          ::waitid(P_PID, static_cast<id_t>((**result).pid), &info, WEXITED);
        } else {
          self->on_started(std::move(**result), self->tty_);
        }
      });
  if (!status) {
    abort(std::move(status).error());
  }
}

void ExecSession::on_input(const runtime::v1::ExecInput& input) {
  if (over_) {
    return;
  }
  if (input.rows() > 0 && input.columns() > 0) {
    size_ = {input.rows(), input.columns()};
    if (tty_ && output_ && output_->fd() >= 0) {
      resize_terminal(output_->fd(), size_);
      ::kill(exec_.pid, SIGWINCH);  // the runtime passes the size on to the terminal inside
    }
  }
  input_->put(input.stdin_data());
  if (input.stdin_end()) {
    input_->end();
  }
}

void ExecSession::on_started(StartedExec exec, bool tty) {
  exec_ = std::move(exec);
  const auto pump = [this](std::uint32_t stream) {
    return std::make_unique<OutputPump>(
        env_.loop, [this, stream](std::string_view chunk) { return on_output(stream, chunk); },
        [this] { finish_when_drained(); });
  };
  output_ = pump(1);
  errors_ = tty ? nullptr : pump(2);
  if (tty) {
    input_->open(exec_.output.get(), InputFeed::Kind::kTerminal);
  } else if (exec_.input.valid()) {
    input_->open(exec_.input.get(), InputFeed::Kind::kSocket);
  }
  exit_watch_ = env_.loop.watch_readable(exec_.pidfd.get(), [this] { on_exit(); });
  output_->open(std::move(exec_.output));
  if (errors_) {
    errors_->open(std::move(exec_.errors));
  }
}

bool ExecSession::on_output(std::uint32_t stream, std::string_view chunk) {
  check_started();
  if (!started_ && early_bytes_ < kEarlyMax) {
    early_.push_back(chunk_of(stream, chunk));
    early_bytes_ += chunk.size();
    await_start();
    return true;
  }
  started_ = true;
  release_early();
  if (!early_.empty()) {
    return false;
  }
  const Status sent = stream_.send(chunk_of(stream, chunk));
  return sent || sent.error().code != Code::kResourceExhausted;
}

void ExecSession::await_start() {
  if (start_timer_ != 0 || exited_) {
    return;
  }
  start_timer_ = env_.loop.run_after(kStartPoll, [this] {
    start_timer_ = 0;
    check_started();
    release_early();
    if (!started_) {
      await_start();
    }
  });
}

void ExecSession::check_started() {
  if (!started_ && !exec_.pid_file.empty()) {
    started_ = ::access(exec_.pid_file.c_str(), F_OK) == 0;
  }
}

void ExecSession::release_early() {
  if (!started_) {
    return;
  }
  while (!early_.empty()) {
    const Status sent = stream_.send(early_.front());
    if (!sent && sent.error().code == Code::kResourceExhausted) {
      return;
    }
    early_.erase(early_.begin());
  }
}

void ExecSession::on_exit() {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(exec_.pid), &info, WEXITED | WNOHANG) != 0 ||
      info.si_pid == 0) {
    return;
  }
  env_.loop.unwatch(std::exchange(exit_watch_, 0));
  exited_ = true;
  exit_code_ = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  input_->close();
  check_started();
  finish_when_drained();
}

void ExecSession::finish_when_drained() {
  if (!exited_ || over_) {
    return;
  }
  if (!output_->drain() || (errors_ && !errors_->drain())) {
    return;
  }
  if (!started_) {
    std::string complaint;
    for (const auto& part : early_) {
      complaint += part.data();
    }
    Error error = explain_runtime_error(complaint, "", engine_->config().runtime_path);
    return abort(std::move(error).with_context("exec in container '" + record_.id + "'"));
  }
  release_early();
  if (!early_.empty()) {
    return;
  }
  runtime::v1::ExecOutput last;
  last.set_exited(true);
  last.set_exit_code(exit_code_);
  const Status sent = stream_.send(last);
  if (!sent && sent.error().code == Code::kResourceExhausted) {
    return;  // the next credit comes back here
  }
  stream_.finish(ok());
  over();
}

void ExecSession::abort(Error why) {
  if (over_) {
    return;
  }
  const auto self = shared_from_this();
  stream_.finish(std::move(why));
  over();
}

/// First the process inside, found by the pid that the runtime wrote; then the runtime, which ends
/// with it anyway.
void ExecSession::kill_process() {
  if (exec_.pid == 0 || exited_) {
    return;
  }
  const auto text = env_.disk.read_file(exec_.pid_file);
  ContainerRecord inside = record_;
  inside.pid = text ? std::atoi(text->c_str()) : 0;
  if (inside.pid > 0) {
    const auto killed = engine_->signal(inside, SIGKILL);
    static_cast<void>(killed.has_value());  // it may have ended by itself
  }
  ::kill(exec_.pid, SIGKILL);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(exec_.pid), &info, WEXITED);
}

void ExecSession::over() {
  if (std::exchange(over_, true)) {
    return;
  }
  kill_process();
  if (exit_watch_ != 0) {
    env_.loop.unwatch(std::exchange(exit_watch_, 0));
  }
  if (start_timer_ != 0) {
    env_.loop.cancel_timer(std::exchange(start_timer_, 0));
  }
  input_->close();
  if (output_) {
    output_->close();
  }
  if (errors_) {
    errors_->close();
  }
  for (const std::string& path : {exec_.pid_file, exec_.process_file}) {
    if (!path.empty()) {
      ::unlink(path.c_str());
    }
  }
  if (on_over_) {
    on_over_(this);
  }
}

}  // namespace skep::oci
