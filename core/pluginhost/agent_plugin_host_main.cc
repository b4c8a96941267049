// agent-plugin-host: one isolated plugin in one process. agentd starts it with a sealed memory file
// of BootParams; people do not.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "core/base/resident.h"
#include "core/pluginhost/shell.h"
#include "core/pluginhost/verify.h"
#include "skep/plugin.pb.h"
#include "skep/posix_env.h"

namespace skep::host {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

constexpr int kExitUsage = 2;
constexpr int kExitStartFailed = 3;
constexpr int kExitRejected = 4;
constexpr unsigned kStartLimitSeconds = 30;  // the agent's own limit is 15 s
constexpr Duration kOrphanLimit = 2min;  // without an agent; long enough for its restart

int usage() {
  std::fprintf(stderr,
               "agent-plugin-host runs one plugin for agentd, which starts it.\n"
               "To check a plugin: agentctl plugin verify FILE.so|PROGRAM ..., or\n"
               "  agent-plugin-host --verify FILE.so [--kind KIND/1]... [--image ARCHIVE]\n"
               "  agent-plugin-host [--kind KIND/1]... [--image ARCHIVE] --verify-program PROGRAM [ARG...]\n");
  return kExitUsage;
}

Result<plugin::v1::BootParams> read_boot(int fd) {
  std::string data;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof(buffer))) > 0) {
    data.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(fd);
  plugin::v1::BootParams boot;
  if (got < 0 || !boot.ParseFromString(data) || boot.path().empty()) {
    return Error{Code::kInvalidArgument, "fd " + std::to_string(fd) + " holds no boot parameters"};
  }
  return boot;
}

/// "2026-01-02T03:04:05.678Z info  text": what `agentctl plugin logs` prints as it is. [any thread]
void write_log(LogLevel level, std::string_view text) {
  static constexpr const char* kNames[] = {"trace", "debug", "info", "warn", "error"};
  const WallTime now = PosixClock().wall_now();
  const std::time_t seconds = now / 1'000'000'000;
  std::tm utc{};
  char time[32] = {};
  std::strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", ::gmtime_r(&seconds, &utc));
  std::fprintf(stderr, "%s.%03dZ %-5s %.*s\n", time, static_cast<int>(now / 1'000'000 % 1000),
               kNames[static_cast<int>(level)], static_cast<int>(text.size()), text.data());
}

int fail(const plugin::v1::BootParams& boot, const Error& error) {
  write_log(LogLevel::kError, error.message);
  plugin::v1::StartFailure failure;
  failure.set_code(static_cast<std::uint32_t>(error.code));
  failure.set_reason(error.reason);
  failure.set_message(error.message);
  PosixDisk disk;
  if (auto status = disk.write_file_atomic(boot.error_file(), failure.SerializeAsString(), 0600); !status) {
    write_log(LogLevel::kError, status.error().message);
  }
  return kExitStartFailed;
}

int run(const plugin::v1::BootParams& boot) {
  // Tokens and settings are in memory: no core file, no ptrace by others.
  ::prctl(PR_SET_DUMPABLE, 0);
  auto manifest = read_manifest(boot.path());
  if (!manifest) {
    return fail(boot, manifest.error());
  }
  base::AsioLoop loop;
  int exit_code = 0;
  TimerId orphan = 0;
  Shell::Events events;
  events.on_rejected = [&](const Error& error) {
    write_log(LogLevel::kError, error.message);
    exit_code = kExitRejected;
    loop.stop();
  };
  events.on_lost = [&] {
    loop.cancel_timer(orphan);
    orphan = loop.run_after(kOrphanLimit, [&] { loop.stop(); });
  };
  events.on_welcome = [&] { loop.cancel_timer(std::exchange(orphan, 0)); };
  // SIGTERM waits for the loop: a start() that hangs must not outlive an agent that died meanwhile.
  ::alarm(kStartLimitSeconds);
  auto shell = Shell::start(loop,
                            {.path = boot.path(),
                             .manifest = *manifest,
                             .start_request = boot.start_request(),
                             .endpoint = boot.endpoint(),
                             .context = std::make_shared<bus::ZmqContext>(),
                             .token = boot.token(),
                             .instance = boot.instance(),
                             .log = write_log},
                            events);
  ::alarm(0);
  if (!shell) {
    return fail(boot, shell.error());
  }
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  const int signals = ::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
  loop.watch_readable(signals, [&] { loop.stop(); });
  base::keep_memory_small(loop);
  loop.run();
  return exit_code;
}

std::string own_path() {
  char path[4096] = {};
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof(path) - 1);
  return {path, size > 0 ? static_cast<std::size_t>(size) : 0};
}

// Before any thread exists, so that they all inherit it.
void block_ends() {
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
}

/// Exit code 0: conforms; 1: does not; 3: could not be tried.
int run_verify(const std::vector<std::string>& words) {
  VerifyOptions options{.host_program = own_path(), .kinds = {}, .image = {}};
  std::string file;
  std::vector<std::string> program;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    if (i + 1 == words.size()) {
      return usage();
    }
    if (words[i] == "--verify-program") {
      program.assign(words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      break;
    }
    if (words[i] == "--verify") {
      file = words[i + 1];
    } else if (words[i] == "--kind") {
      options.kinds.push_back(words[i + 1]);
    } else if (words[i] == "--image") {
      options.image = words[i + 1];
    } else {
      return usage();
    }
  }
  if (file.empty() == program.empty()) {
    return usage();
  }
  block_ends();
  auto conforms = file.empty() ? verify_program(program, options) : verify_file(file, options);
  if (!conforms) {
    std::fprintf(stderr, "Error: %s\n", conforms.error().message.c_str());
    return kExitStartFailed;
  }
  return *conforms ? 0 : 1;
}

int main_checked(int argc, char** argv) {
  if (argc >= 2 && std::strcmp(argv[1], "--boot-fd") != 0) {
    return run_verify({argv + 1, argv + argc});
  }
  int fd = -1;
  if (argc != 3 || std::strcmp(argv[1], "--boot-fd") != 0 ||
      std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), fd).ec != std::errc{}) {
    return usage();
  }
  block_ends();
  auto boot = read_boot(fd);
  if (!boot) {
    write_log(LogLevel::kError, boot.error().message);
    return usage();
  }
  return run(*boot);
}

}  // namespace
}  // namespace skep::host

int main(int argc, char** argv) {
  try {
    return skep::host::main_checked(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error agent-plugin-host: %s\n", error.what());
    return 1;
  }
}
