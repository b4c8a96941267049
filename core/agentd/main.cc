// agentd: the node agent. `agentd --help` is its manual.
#include <malloc.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "core/agentd/backup_command.h"
#include "core/agentd/crash_note.h"
#include "core/agentd/daemon.h"
#include "core/agentd/logging.h"
#include "core/agentd/version.h"
#include "core/model/codes.h"

namespace skep::agentd {
namespace {

constexpr int kExitUsage = 2;  // as agentctl: docs/agentctl.md

std::string program_directory() {
  char path[PATH_MAX] = {};
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof(path) - 1);
  const std::string text(path, size > 0 ? static_cast<std::size_t>(size) : 0);
  return text.substr(0, text.rfind('/'));
}

/// What to do about errors of the disk, which cannot say it themselves.
const char* next_step(const Error& error) {
  return error.reason == "DISK_FULL"                ? "; free some space and start again"
         : error.reason == "READ_ONLY_FILE_SYSTEM" ? "; make the file system writable and start again"
                                                    : "";
}

int complain(const Error& error) {
  const bool says_it = error.message.find("start again") != std::string::npos;
  std::fprintf(stderr, "agentd: %s%s\n", error.message.c_str(), says_it ? "" : next_step(error));
  return model::exit_code(error.code);
}

/// "/" or an absolute path without a slash at its end.
std::string clean_root(std::string root) {
  char absolute[PATH_MAX] = {};
  if (!root.empty() && root.front() != '/' && ::getcwd(absolute, sizeof(absolute)) != nullptr) {
    root = std::string(absolute) + "/" + root;
  }
  while (root.size() > 1 && root.back() == '/') {
    root.pop_back();
  }
  return root;
}

struct BackupOptions {
  std::string inspect;
  std::string verify;
  RestoreOptions restore;
  bool force = false;   // swarm init --force-new-cluster
  bool unlock = false;  // the unlock key is the first line of stdin
};

/// Whether agentctl asks for something that needs no agent.
bool wanted(const BackupOptions& options) {
  return options.force || !options.inspect.empty() || !options.verify.empty() || !options.restore.file.empty();
}

Result<std::string> work(const BackupWorld& world, const Paths& paths, const BackupOptions& options) {
  const RestoreOptions& restore = options.restore;
  if (options.force) {
    return force_at_start(world, paths, restore.advertise_address, restore.listen_address);
  }
  if (!options.inspect.empty()) {
    return inspect_backup(world, options.inspect, restore.unlock_key);
  }
  if (!options.verify.empty()) {
    const char* temporary = std::getenv("TMPDIR");
    return verify_backup(world, options.verify, temporary != nullptr ? temporary : "/tmp", restore.unlock_key);
  }
  return restore_backup(world, paths, restore);
}

/// What agentctl asks for; nothing stays running.
int work_without_agent(const std::string& root, BackupOptions options) {
  ::umask(0077);
  PosixDisk disk;
  PosixRandom random;
  PosixClock clock;
  const BackupWorld world{disk, random, clock};
  if (options.unlock) {
    std::getline(std::cin, options.restore.unlock_key);
  }
  const auto said = work(world, Paths(root), options);
  if (!said) {
    return complain(said.error());
  }
  std::fputs(said->c_str(), stdout);
  return std::fflush(stdout) == 0 ? 0 : 1;
}

int serve(const std::string& root, const std::string& log_level) {
  const Paths paths(root);
  auto config = load_config(paths);
  if (!config) {
    return complain(config.error());
  }
  if (!log_level.empty()) {
    if (auto status = parse_config("log_level = \"" + log_level + "\"", "--log-level", *config); !status) {
      return complain(status.error());
    }
  }
  // Before any thread exists: SIGTERM and SIGINT come through a signalfd, and a peer that is gone is
  // an error of write(), not a signal.
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  ::sigaddset(&ends, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  ::umask(0077);
  // A dozen threads that each allocate little: two arenas serve them, one each would cost 15 MB.
  ::mallopt(M_ARENA_MAX, 2);
  start_logging(config->log_level);
  note_crashes();
  Daemon daemon(paths, *std::move(config), program_directory());
  if (auto status = daemon.start(); !status) {
    stop_logging();
    return complain(status.error());
  }
  daemon.run();
  stop_logging();
  return 0;
}

}  // namespace
}  // namespace skep::agentd

int main(int argc, char** argv) {
  CLI::App app{"agentd runs services on this node; agentctl talks to it.\n"
               "Configuration: ROOT/etc/skep/agentd.toml; state: ROOT/var/lib/skep; sockets: ROOT/run/skep.\n"
               "SIGTERM stops the agent and leaves its tasks running; the next start adopts them. With on_stop = "
               "\"drain\" in the configuration other nodes take them over first."};
  const char* environment_root = std::getenv("SKEP_ROOT");
  std::string root = environment_root != nullptr ? environment_root : "/";
  std::string log_level;
  app.add_option("--root", root, "directory below which all of this agent's files lie (default: $SKEP_ROOT or /)");
  app.add_option("--log-level", log_level, "trace, debug, info, warn or error");
  skep::agentd::BackupOptions backup;
  const std::string group = "Without an agent (see 'agentctl backup' and 'swarm init --force-new-cluster')";
  app.add_option("--backup-inspect", backup.inspect, "say what a backup file holds, and end")->group(group);
  app.add_option("--backup-verify", backup.verify, "load a backup file into a scratch state, and end")->group(group);
  app.add_option("--backup-restore", backup.restore.file, "make the swarm of a backup file anew in this root, and end")
      ->group(group);
  app.add_option("--advertise-addr", backup.restore.advertise_address, "of the restored manager")->group(group);
  app.add_option("--listen-addr", backup.restore.listen_address, "of the restored manager")->group(group);
  app.add_flag("--replace", backup.restore.replace, "restore over what this root holds of the same swarm")->group(group);
  app.add_flag("--backup-unlock", backup.unlock, "read the unlock key of a locked backup from stdin")->group(group);
  app.add_flag("--force-new-cluster", backup.force, "make this manager the only one at the next start, and end")->group(group);
  app.set_version_flag("--version", std::string("agentd ") + skep::agentd::kVersion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      return app.exit(error);  // --help, --version
    }
    std::fprintf(stderr, "agentd: %s; see 'agentd --help'\n", error.what());
    return skep::agentd::kExitUsage;
  }
  try {
    if (skep::agentd::wanted(backup)) {
      return skep::agentd::work_without_agent(skep::agentd::clean_root(root), backup);
    }
    return skep::agentd::serve(skep::agentd::clean_root(root), log_level);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "agentd: %s\n", error.what());
    return 1;
  }
}
