#include "core/agentd/crash_note.h"

#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <string_view>

namespace skep::agentd {
namespace {

constexpr int kFramesMax = 48;
constexpr unsigned kLimitSeconds = 5;

// Everything below runs in a signal handler: no allocation. The trace takes the loader's lock, so an alarm that
// ends the process bounds it: a crash must not become a hang.
void say(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) {
      return;
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void on_crash(int signal) {
  ::alarm(kLimitSeconds);
  std::array<char, 17> thread{};
  ::prctl(PR_GET_NAME, thread.data());
  const char* const name = ::sigabbrev_np(signal);
  say("agentd: crashed with SIG");
  say(name != nullptr ? name : "?");
  say(" in thread '");
  say(thread.data());
  say("'; tasks keep running and the next start adopts them. If that is the name of a plugin, placement = \"isolated\" "
      "in its section of agentd.toml keeps the agent from going down with it. Stack:\n");
  std::array<void*, kFramesMax> frames{};
  ::backtrace_symbols_fd(frames.data(), ::backtrace(frames.data(), kFramesMax), STDERR_FILENO);
  // SA_RESETHAND put the default back: the same end as without us, core dump and all.
  ::raise(signal);
}

}  // namespace

void note_crashes() {
  std::array<void*, 1> first{};
  ::backtrace(first.data(), 1);  // loads what the handler must not load
  struct sigaction action {};
  action.sa_handler = on_crash;
  action.sa_flags = SA_RESETHAND | SA_NODEFER;
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) {
    ::sigaction(signal, &action, nullptr);
  }
}

}  // namespace skep::agentd
