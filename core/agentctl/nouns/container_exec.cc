#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <optional>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/errors.h"
#include "core/agentctl/nouns/container.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/terminal.h"
#include "skep/runtime.methods.h"

namespace skep::ctl {
namespace {

using runtime::v1::ExecInput;
using runtime::v1::ExecOutput;

struct ExecOptions {
  bool interactive = false;
  bool tty = false;
  std::vector<std::string> env;
  std::string user;
  std::string directory;
};

/// One exec from its first message to its exit code.
class ExecSession {
 public:
  ExecSession(Context& context, Client& agent) : context_(context), agent_(agent) {}

  Result<int> run(const std::string& target, const ExecInput& first, bool interactive, bool tty) {
    Loop& loop = agent_.connection().loop();
    const RawTerminal raw(tty && interactive && context_.terminal.input);
    stream_ = rpc::open<runtime::v1::methods::Exec>(
        agent_.connection().caller(), target, first, {.deadline = std::chrono::milliseconds(0)},
        [this](const ExecOutput& output) { on_output(output); },
        [this](Status status) { done_ = std::move(status); }, [this] { on_writable(); });
    const std::shared_ptr<void> resized =
        tty ? agent_.connection().watch_signal(SIGWINCH, [this] { send_size(); }) : nullptr;
    if (interactive) {
      input_.emplace(loop, STDIN_FILENO, [this](std::string chunk) { on_input(std::move(chunk)); });
    }
    agent_.connection().run_until([this] { return done_.has_value(); });
    input_.reset();
    SKEP_TRY(std::move(*done_));
    if (!exit_code_) {
      return Error{Code::kUnavailable, "the runtime ended the exec without an exit code"};
    }
    return *exit_code_;
  }

 private:
  void on_output(const ExecOutput& output) {
    std::ostream& out = output.stream() == 2 ? context_.err : context_.out;
    out << output.data() << std::flush;
    if (output.exited()) {
      exit_code_ = output.exit_code();
    }
  }

  void on_input(std::string chunk) {
    ExecInput message;
    message.set_stdin_end(chunk.empty());
    message.set_stdin_data(std::move(chunk));
    send(message.SerializeAsString());
  }

  void send_size() {
    const WindowSize size = window_size();
    ExecInput message;
    message.set_rows(size.rows);
    message.set_columns(size.columns);
    (void)stream_->send(message.SerializeAsString());  // the next resize tells it again
  }

  // Without credit the chunk is kept and stdin is left alone until there is room.
  void send(std::string body) {
    if (auto sent = stream_->send(body); !sent && sent.error().code == Code::kResourceExhausted) {
      waiting_ = std::move(body);
      input_->pause();
    }
  }

  void on_writable() {
    if (!waiting_.empty() && input_) {
      std::string body = std::move(waiting_);
      waiting_.clear();
      input_->resume();
      send(std::move(body));
    }
  }

  Context& context_;
  Client& agent_;
  std::shared_ptr<rpc::ClientStream> stream_;
  std::optional<InputPump> input_;
  std::string waiting_;
  std::optional<Status> done_;
  std::optional<int> exit_code_;
};

Result<int> exec(Context& context, const ExecOptions& options,
                 const std::vector<std::string>& arguments) {
  if (options.tty && options.interactive && !context.terminal.input) {
    return Error{Code::kInvalidArgument,
                 "stdin is not a terminal: leave out -t, or run this in a terminal", "USAGE"};
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const auto container, find_container(*agent, arguments.front()));
  if (container.state() != runtime::v1::CONTAINER_STATE_RUNNING) {
    return Error{Code::kFailedPrecondition,
                 fmt::format("container '{}' is not running", arguments.front())};
  }
  ExecInput first;
  auto& start = *first.mutable_start();
  start.set_container_id(container.container_id());
  start.mutable_command()->Assign(arguments.begin() + 1, arguments.end());
  for (const std::string& variable : options.env) {
    const auto known = context.environment.find(variable);
    if (variable.find('=') != std::string::npos) {
      start.add_env(variable);
    } else if (known != context.environment.end()) {
      start.add_env(variable + "=" + known->second);
    }
  }
  start.set_user(options.user);
  start.set_directory(options.directory);
  start.set_tty(options.tty);
  start.set_open_stdin(options.interactive);
  if (options.tty) {
    const WindowSize size = window_size();
    first.set_rows(size.rows);
    first.set_columns(size.columns);
  }
  auto ended = ExecSession(context, *agent)
                   .run(runtime_target(container), first, options.interactive, options.tty);
  if (!ended && (ended.error().reason == "COMMAND_NOT_FOUND" || ended.error().reason == "COMMAND_NOT_EXECUTABLE")) {
    print_error(context, ended.error());
    return ended.error().reason == "COMMAND_NOT_FOUND" ? 127 : 126;  // as shells and docker do
  }
  return ended;
}

}  // namespace

void add_container_exec(Command& parent) {
  auto options = std::make_shared<ExecOptions>();
  auto& command = parent.add("exec", "Run a command in a container of this node");
  command.later("--detach,-d", "", "start the command in the background of a shell of the container");
  command.later("--detach-keys", "string", "end the command to leave it");
  command.later("--env-file", "file", "give the variables with --env");
  command.later("--privileged", "", "commands run with the rights of their container");
  command
      .arguments("[OPTIONS] CONTAINER COMMAND [ARG...]", 2)
      .stop_at_first_argument()
      .completes("container")
      .toggle("--interactive,-i", options->interactive, "Pass stdin on")
      .toggle("--tty,-t", options->tty, "Give the command a terminal")
      .list("--env,-e", options->env, "Set an environment variable")
      .text("--user,-u", options->user, "string", "User or uid (NAME[:GROUP])")
      .text("--workdir,-w", options->directory, "string", "Working directory")
      .run([options](Context& context, const auto& arguments) {
        return exec(context, *options, arguments);
      });
}

}  // namespace skep::ctl
