#include "core/pluginhost/verify_bench.h"

#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "skep/runtime.methods.h"

namespace skep::host {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

constexpr const char* kImageTag = "skep-conformance:1";
constexpr std::size_t kTailShown = 16 * 1024;

/// Pulls the image that runtimes with images run.
Status pull(testing::Probe& probe, const std::string& image) {
  runtime::v1::PullRequest request;
  request.set_image(image);
  request.set_tag(kImageTag);
  SKEP_TRY(probe.stream(runtime::v1::methods::Pull::kName, request.SerializeAsString()));
  return ok();
}

}  // namespace

Result<std::unique_ptr<Directory>> Directory::make() {
  const char* const parent = ::getenv("TMPDIR");
  std::string name = std::string(parent != nullptr && *parent == '/' ? parent : "/tmp") + "/skep-verify-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    return errno_error(errno, name + ": make a directory");
  }
  return std::unique_ptr<Directory>(new Directory(name));
}

Directory::~Directory() { (void)PosixDisk().remove_tree(path_).has_value(); }

void Report::add(const std::string& placement, const testing::CaseResult& result) {
  const char* verdict = result.passed ? "ok  " : result.skipped ? "skip" : "FAIL";
  ++(result.passed ? passed_ : result.skipped ? skipped_ : failed_);
  std::printf("%s  %-8s  %s%s%s\n", verdict, placement.c_str(), result.name.c_str(),
              result.why.empty() ? "" : "\n      ", result.why.c_str());
  std::fflush(stdout);
}

void Report::add(const std::string& placement, const std::string& name, const Status& status) {
  add(placement, {.name = name, .passed = bool(status), .skipped = false,
                  .why = status ? "" : status.error().message});
}

void Report::print_sum(const std::string& who) const {
  std::printf("%s: %d passed, %d failed, %d skipped\n", who.c_str(), passed_, failed_, skipped_);
}

void print_tail(Disk& disk, const std::string& file, const char* title) {
  const auto content = disk.read_file(file);
  if (content && !content->empty()) {
    const std::string shown = content->substr(content->size() - std::min(content->size(), kTailShown));
    std::printf("---- %s:\n%s%s", title, shown.c_str(), shown.back() == '\n' ? "" : "\n");
  }
}

Bench::Bench(std::string directory, CatalogOptions catalog, std::string host_program)
    : directory_(std::move(directory)), catalog_(std::move(catalog)), host_program_(std::move(host_program)) {
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  signals_ = ::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
  signal_watch_ = real_.loop.watch_readable(signals_, [this] { on_signal(); });
}

Bench::~Bench() {
  close_agent();
  real_.workers.stop();
  bus_.reset();
  real_.loop.unwatch(signal_watch_);
  ::close(signals_);
}

void Bench::on_signal() {
  signalfd_siginfo info{};
  if (::read(signals_, &info, sizeof(info)) != sizeof(info)) {
    return;
  }
  abandon();
  close_agent();
  (void)real_.disk.remove_tree(directory_).has_value();
  ::_exit(128 + static_cast<int>(info.ssi_signo));
}

Status Bench::open_agent() {
  PluginHostOptions host;
  host.root = directory_;
  host.state_dir = directory_ + "/state";
  host.run_dir = directory_ + "/run";
  host.installation_id = "verify" + std::to_string(real_.random.next() % 1'000'000);
  host.version = "verify";
  host.host_program = host_program_;
  host.catalog = catalog_;
  plugins_ = std::make_unique<PluginHost>(real_.env, host, [] {});
  bus::BusOptions options;
  options.bus_socket = bus_socket();
  options.router.admit = [this](const auto& peer, const auto& hello) { return plugins_->admit(peer, hello); };
  bus_ = std::make_unique<bus::Bus>(
      real_.loop, real_.random, std::move(options),
      bus::BusEvents{.on_joined =
                         [this](const auto& name) {
                           plugins_->on_joined(name);
                           on_joined(name);
                         },
                     .on_suspected = [this](const auto& name) { plugins_->on_suspected(name); },
                     .on_gone = [this](const auto& name, const auto& why) { plugins_->on_gone(name, why); }});
  SKEP_TRY(bus_->start());
  bus_->add_tap([this](const bus::TraceFrame& frame) { on_traffic(frame); });
  return plugins_->start(*bus_);
}

void Bench::close_agent() {
  if (plugins_) {
    plugins_->stop();
  }
  if (bus_) {
    bus_->stop();
  }
}

void Bench::turn() { real_.loop.run_once(20ms); }

Result<rpc::Body> Bench::call(std::string_view method, const rpc::Body& body) {
  auto answer = std::make_shared<std::optional<Result<rpc::Body>>>();
  bus_->caller().call(target_, method, body, {.deadline = 60s},
                      [answer](Result<rpc::Body> reply) { *answer = std::move(reply); });
  while (!answer->has_value()) {
    turn();
  }
  return std::move(**answer);
}

Result<std::vector<rpc::Body>> Bench::stream(std::string_view method, const rpc::Body& body) {
  auto chunks = std::make_shared<std::vector<rpc::Body>>();
  auto done = std::make_shared<std::optional<Result<rpc::Body>>>();
  const auto open = bus_->caller().open(
      target_, method, body, {.deadline = 60s},
      {.on_chunk = [chunks](rpc::Body chunk) { chunks->push_back(std::move(chunk)); },
       .on_done = [done](Result<rpc::Body> last) { *done = std::move(last); }});
  while (!done->has_value()) {
    turn();
  }
  if (!**done) {
    return std::move(**done).error();
  }
  return std::move(*chunks);
}

Status leave_network() {
  if (::unshare(CLONE_NEWNET) != 0) {
    return Error{Code::kPermissionDenied,
                 "a network plugin is judged in a network namespace of its own: run this as root"};
  }
  ifreq loopback{};
  std::strncpy(loopback.ifr_name, "lo", sizeof(loopback.ifr_name) - 1);
  loopback.ifr_flags = IFF_UP | IFF_RUNNING;
  const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool up = any >= 0 && ::ioctl(any, SIOCSIFFLAGS, &loopback) == 0;
  const int error = errno;
  ::close(any);
  return up ? ok() : errno_error(error, "set lo up");
}

Status check_kinds(const std::vector<std::string>& kinds, const std::vector<bus::v1::DriverName>& drivers) {
  for (const std::string& kind : kinds) {
    const bool served = std::any_of(drivers.begin(), drivers.end(), [&](const bus::v1::DriverName& driver) {
      return driver.kind() == kind || driver.kind() + "/" + std::to_string(driver.major()) == kind;
    });
    if (!served) {
      std::string serves;
      for (const auto& driver : drivers) {
        serves += (serves.empty() ? "" : ", ") + driver.kind() + "/" + std::to_string(driver.major());
      }
      return Error{Code::kFailedPrecondition, "it serves " + (serves.empty() ? "nothing" : serves) + ", not " + kind};
    }
  }
  return ok();
}

void run_suites(Bench& bench, const bus::v1::DriverName& driver, const VerifyOptions& options,
                const std::string& placement, const std::function<bool()>& goes_on, Report& report) {
  bench.aim(driver.kind() + "/" + driver.name());
  testing::SuiteOptions suite;
  auto cases = testing::common_suite(driver.kind());
  if (driver.kind() == "runtime" && !options.image.empty()) {
    report.add(placement, "pull: the image given with --image", pull(bench, options.image));
    suite.image = kImageTag;
  }
  auto of_kind = testing::suite_of(driver.kind(), suite);
  if (of_kind.empty()) {
    report.add(placement, {.name = driver.kind() + "/" + std::to_string(driver.major()) + ": its own suite",
                           .skipped = true,
                           .why = "there is none yet"});
  }
  cases.insert(cases.end(), of_kind.begin(), of_kind.end());
  for (const testing::Case& one : cases) {
    if (!goes_on()) {
      return;
    }
    report.add(placement, testing::run_suite({one}, bench).front());
  }
}

}  // namespace skep::host
