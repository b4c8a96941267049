// Judging a program that connects to the bus by itself, in whatever language.
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "core/pluginhost/verify_bench.h"
#include "skep/envelope.h"
#include "skep/log.h"

namespace skep::host {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

constexpr const char* kPlacement = "external";
constexpr Duration kHelloLimit = 15s;    // start to HELLO, as for files
constexpr Duration kReattachLimit = 30s;  // agent there again to HELLO
constexpr Duration kEndLimit = 5s;       // SIGTERM to its end
constexpr std::size_t kNotesMax = 3;

std::string ended_text(int code) {
  return code >= 128 ? "was ended by signal " + std::to_string(code - 128) : "exited with code " + std::to_string(code);
}

class ProgramBench final : public Bench {
 public:
  ProgramBench(const std::string& directory, std::vector<std::string> argv, const std::string& host_program)
      : Bench(directory, {}, host_program), argv_(std::move(argv)), output_(directory + "/program.log") {
    // The bus logs what it cannot make sense of; on the loop, and there are no threads of plugins here.
    log::set_level(LogLevel::kDebug);
    log::set_sink([this](LogLevel, std::string_view line) { note(line); });
  }
  ~ProgramBench() override {
    abandon();
    log::set_sink([](LogLevel, std::string_view) {});
  }

  /// Starts the program and waits for its HELLO.
  Status start() {
    SKEP_TRY(spawn());
    return wait_joined(kHelloLimit, joins_);
  }

  [[nodiscard]] std::vector<bus::v1::DriverName> drivers() {
    for (const auto& participant : bus().participants()) {
      if (participant.name == id_) {
        return {participant.hello.drivers().begin(), participant.hello.drivers().end()};
      }
    }
    return {};
  }
  /// "pydir 1.0.0"
  [[nodiscard]] std::string who() {
    for (const auto& info : plugins().list()) {
      if (info.id() == id_) {
        return info.id() + " " + info.version();
      }
    }
    return argv_.front();
  }
  /// That it did not end by itself.
  [[nodiscard]] Status alive() const {
    return ended_ ? Status(Error{Code::kUnavailable, "the program " + ended_text(*ended_)}) : ok();
  }

  Status crash() override {
    SKEP_TRY(alive());
    const unsigned before = joins_;
    signal(SIGKILL);
    if (!turn_until(kEndLimit, [&] { return ended_.has_value(); })) {
      return Error{Code::kTimeout, "the program does not end by SIGKILL"};
    }
    SKEP_TRY(spawn());
    return wait_joined(kHelloLimit, before);
  }

  Status restart_agent() {
    const unsigned before = joins_;
    close_agent();
    SKEP_TRY(open_agent());
    return wait_joined(kReattachLimit, before);
  }

  Status end() {
    signal(SIGTERM);
    return turn_until(kEndLimit, [&] { return ended_.has_value(); })
               ? ok()
               : Status(Error{Code::kTimeout, "it still runs 5 s after SIGTERM"});
  }

  void print_output() { print_tail(env().disk, output_, "what the program wrote"); }

 protected:
  void on_joined(const std::string& id) override {
    if (id_.empty()) {
      id_ = id;
    }
    joins_ += id == id_ ? 1U : 0U;
  }
  void on_traffic(const bus::TraceFrame& frame) override {
    if (!frame.incoming && frame.header.type() == bus::v1::REJECT) {
      note("the bus refused it: " + frame.header.status().message());
    }
  }
  void abandon() override {
    if (pid_ != 0) {
      ::kill(-pid_, SIGKILL);  // its own session: with whatever it started
      if (!ended_) {
        siginfo_t info{};
        ::waitid(P_PIDFD, static_cast<id_t>(pidfd_), &info, WEXITED);
      }
    }
    close_pidfd();
    pid_ = 0;
  }

 private:
  Status spawn() {
    const int out = ::open(output_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out < 0) {
      return errno_error(errno, output_ + ": open");
    }
    ProcessSpec spec{.argv = argv_, .fds = {{out, 1}, {out, 2}}, .new_session = true};
    for (char** variable = ::environ; *variable != nullptr; ++variable) {
      if (!std::string_view(*variable).starts_with("SKEP_BUS=")) {
        spec.environment.emplace_back(*variable);
      }
    }
    spec.environment.push_back("SKEP_BUS=" + bus_socket());
    auto child = env().subprocess.start(spec);
    ::close(out);
    if (!child) {
      return std::move(child).error();
    }
    ended_.reset();
    pid_ = child->pid;
    pidfd_ = child->pidfd;
    watch_ = env().loop.watch_readable(pidfd_, [this] { on_end(); });
    return ok();
  }

  void on_end() {
    siginfo_t info{};
    ::waitid(P_PIDFD, static_cast<id_t>(pidfd_), &info, WEXITED);
    ended_ = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    close_pidfd();
    ::kill(-pid_, SIGKILL);  // a helper of a program that is gone serves nobody
    pid_ = 0;
    bus().drop(id_, "its program " + ended_text(*ended_));
  }

  /// What the bus says while the program connects.
  void note(std::string_view line) {
    notes_.emplace_back(line);
    if (notes_.size() > kNotesMax) {
      notes_.erase(notes_.begin());
    }
  }

  void close_pidfd() {
    if (pidfd_ >= 0) {
      env().loop.unwatch(watch_);
      ::close(std::exchange(pidfd_, -1));
    }
  }

  void signal(int number) const {
    if (pidfd_ >= 0) {
      ::syscall(SYS_pidfd_send_signal, pidfd_, number, nullptr, 0);
    }
  }

  Status wait_joined(Duration limit, unsigned before) {
    notes_.clear();
    const bool settled = turn_until(limit, [&] { return joins_ != before || ended_; });
    if (joins_ != before && !ended_) {
      return ok();
    }
    std::string why = settled ? "the program " + ended_text(*ended_) + " before it said HELLO"
                              : "no HELLO within " + std::to_string(limit / 1s) + " s";
    for (const std::string& one : notes_) {
      why += "; " + one;
    }
    if (notes_.empty() && !settled) {
      why += ": nothing came; does it connect a DEALER to ipc:// and the path in SKEP_BUS?";
    }
    return Error{settled ? Code::kUnavailable : Code::kTimeout, why};
  }

  std::vector<std::string> argv_;
  std::string output_;
  std::string id_;
  std::vector<std::string> notes_;
  unsigned joins_ = 0;
  int pid_ = 0;
  int pidfd_ = -1;
  WatchId watch_ = 0;
  std::optional<int> ended_;
};

void judge(ProgramBench& bench, const VerifyOptions& options, Report& report) {
  const Status started = bench.start();
  report.add(kPlacement, "start: connects to SKEP_BUS and says HELLO", started);
  if (!started) {
    return;
  }
  const auto drivers = bench.drivers();
  if (!options.kinds.empty()) {
    report.add(kPlacement, "kinds: serves what --kind asks for", check_kinds(options.kinds, drivers));
  }
  for (const auto& driver : drivers) {
    run_suites(bench, driver, options, kPlacement, [&] { return bool(bench.alive()); }, report);
  }
  const Status alive = bench.alive();
  report.add(kPlacement, "calls: the program goes on through all of them", alive);
  if (!alive) {
    return;
  }
  report.add(kPlacement, "agent restart: says HELLO again", bench.restart_agent());
  report.add(kPlacement, "end: SIGTERM ends it within 5 s", bench.end());
}

}  // namespace

Result<bool> verify_program(const std::vector<std::string>& argv, const VerifyOptions& options) {
  // What it serves is known only when it runs: --kind says in time that it changes the network.
  if (std::any_of(options.kinds.begin(), options.kinds.end(),
                  [](const std::string& kind) { return kind.starts_with("network"); })) {
    SKEP_TRY(leave_network());
  }
  SKEP_TRY_ASSIGN(const auto directory, Directory::make());
  Report report;
  ProgramBench bench(directory->path(), argv, options.host_program);
  SKEP_TRY(bench.open_agent());
  judge(bench, options, report);
  if (report.failed() > 0) {
    bench.print_output();
  }
  report.print_sum(bench.who());
  return report.failed() == 0;
}

}  // namespace skep::host
