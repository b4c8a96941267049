#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/nouns/without_agent.h"
#include "skep/agent.methods.h"

namespace skep::ctl {
namespace {

constexpr const char* kUnlockHelp =
    "Ask for the unlock key (or read it from stdin): the swarm was locked";

struct CreateOptions {
  bool stale = false;
};

// Makes `path` from the agent's stream, whole or not at all, readable by its owner only.
Result<std::uint64_t> receive(Context& context, Client& agent, const CreateOptions& options,
                              const std::string& path) {
  const std::string part = path + ".part";
  SKEP_TRY_ASSIGN(const auto file, context.disk.open(part, OpenMode::kCreate));
  SKEP_TRY(file->truncate(0));
  std::uint64_t written = 0;
  Status status = ok();
  agent::v1::BackupRequest request;
  request.set_stale(options.stale);
  const Status ended = agent.stream<agent::v1::methods::Backup>(
      kCore, request, [&](const agent::v1::BackupChunk& chunk) {
        if (status) {
          status = file->write(written, chunk.data());
          written += chunk.data().size();
        }
      });
  if (ended && status) {
    status = file->sync();
  }
  if (ended && status) {
    status = context.disk.rename(part, path);
  }
  if (!ended || !status) {
    if (auto removed = context.disk.remove(part); !removed) {
      context.err << fmt::format("WARNING: {} stays: {}\n", part, removed.error().message);
    }
    return ended ? std::move(status).error() : Error(ended.error());
  }
  SKEP_TRY(context.disk.sync_directory(path.substr(0, std::max<std::size_t>(path.rfind('/'), 1))));
  return written;
}

constexpr const char* kKeepIt =
    "It holds the root key, the join tokens and all secrets of the swarm, which only the unlock key "
    "of a locked swarm hides: keep it as you keep those.\n";

// For a pipe: what is cut off there is refused by whoever reads it.
Result<int> create_on_stdout(Context& context, const CreateOptions& options) {
  if (context.terminal.output) {
    return Error{Code::kInvalidArgument,
                 "a backup is not for a terminal: give a FILE, or redirect it as in 'agentctl backup create - | ...'",
                 std::string(kUsageReason)};
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  agent::v1::BackupRequest request;
  request.set_stale(options.stale);
  const Status ended = agent->stream<agent::v1::methods::Backup>(
      kCore, request, [&context](const agent::v1::BackupChunk& chunk) { context.out << chunk.data(); });
  context.out.flush();
  if (!ended || !context.out) {
    Error error = ended ? Error{Code::kResourceExhausted, "stdout took not all of the backup: run the command again"}
                        : Error(ended.error());
    return std::move(error).with_context("what was written is no whole backup");
  }
  context.err << kKeepIt;
  return 0;
}

Result<int> create(Context& context, const CreateOptions& options, const std::string& argument) {
  if (argument == "-") {
    return create_on_stdout(context, options);
  }
  const std::string path = absolute_path(argument);
  if (context.disk.exists(path)) {
    return Error{Code::kAlreadyExists,
                 fmt::format("'{}' is there already: a backup replaces no file", path)};
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const std::uint64_t bytes, receive(context, *agent, options, path));
  context.out << fmt::format("{} ({} bytes)\n{}", path, bytes, kKeepIt);
  return 0;
}

/// Backups are read more than once, and by agentd.
Result<std::string> readable(const std::string& argument) {
  if (argument == "-") {
    return Error{Code::kInvalidArgument, "a backup is read from a file, not from stdin: write it to one first",
                 std::string(kUsageReason)};
  }
  return absolute_path(argument);
}

/// With the unlock key of a locked backup, when `unlock`.
Result<int> work_on(Context& context, std::vector<std::string> words, bool unlock) {
  if (!unlock) {
    return run_agentd(context, std::move(words));
  }
  words.emplace_back("--backup-unlock");
  return run_agentd(context, std::move(words), ask_unlock_key(context) + "\n");
}

struct RestoreFlags {
  std::string advertise;
  std::string listen;
  bool replace = false;
  bool unlock = false;
};

Result<int> restore(Context& context, const RestoreFlags& flags, const std::string& file) {
  SKEP_TRY_ASSIGN(const std::string path, readable(file));
  std::vector<std::string> words = {"--root", context.root, "--backup-restore", path};
  if (!flags.advertise.empty()) {
    words.insert(words.end(), {"--advertise-addr", flags.advertise});
  }
  if (!flags.listen.empty()) {
    words.insert(words.end(), {"--listen-addr", flags.listen});
  }
  if (flags.replace) {
    words.emplace_back("--replace");
  }
  return work_on(context, std::move(words), flags.unlock);
}

}  // namespace

void add_backup_commands(Command& root) {
  auto& backup = root.add("backup", "Back up the swarm's state and bring it back");
  auto create_options = std::make_shared<CreateOptions>();
  backup.add("create", "Write the swarm's state to a new file (or '-', stdout), from any manager")
      .arguments("[OPTIONS] FILE|-", 1, 1)
      .toggle("--stale", create_options->stale,
              "Take what this manager knows, also when it cannot ask the others")
      .run([create_options](Context& context, const auto& arguments) {
        return create(context, *create_options, arguments.front());
      });
  const auto reading = [&backup](const char* verb, const char* summary, const char* option) {
    auto unlock = std::make_shared<bool>(false);
    backup.add(verb, summary)
        .arguments("[OPTIONS] FILE", 1, 1)
        .toggle("--unlock", *unlock, kUnlockHelp)
        .run([unlock, option = std::string(option)](Context& context, const auto& arguments) -> Result<int> {
          SKEP_TRY_ASSIGN(const std::string path, readable(arguments.front()));
          return work_on(context, {option, path}, *unlock);
        });
  };
  reading("inspect", "Say what a backup holds; needs no agent", "--backup-inspect");
  reading("verify",
          "Load a backup into a scratch state to see that it can be restored; needs no agent",
          "--backup-verify");
  auto flags = std::make_shared<RestoreFlags>();
  backup
      .add("restore",
           "Make the swarm anew from a backup, with this node as its one manager; agentd must not "
           "run")
      .arguments("[OPTIONS] FILE", 1, 1)
      .text("--advertise-addr", flags->advertise, "string",
            "Address others reach this node at (default as in the backup)")
      .text("--listen-addr", flags->listen, "string", "Address to listen on")
      .toggle("--replace", flags->replace,
              "Throw away what this node holds of the same swarm; its tasks stay")
      .toggle("--unlock", flags->unlock, kUnlockHelp)
      .run([flags](Context& context, const auto& arguments) {
        return restore(context, *flags, arguments.front());
      });
}

}  // namespace skep::ctl
