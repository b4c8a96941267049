#include "core/pluginhost/verify.h"

#include <signal.h>
#include <stdlib.h>

#include <cerrno>
#include <cstdio>
#include <optional>

#include "core/base/asio_loop.h"
#include "core/pluginhost/plugin_host.h"
#include "skep/posix_env.h"
#include "skep/runtime.methods.h"
#include "skep/testing/conformance.h"

namespace skep::host {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

/// A bus, one plugin and a loop that turns while a call waits.
class Bench final : public testing::Probe {
 public:
  /// `directory` holds plugins/FILE.so and nothing else.
  Bench(const VerifyOptions& options, const Manifest& manifest, const std::string& placement,
        const std::string& directory)
      : id_(manifest.id), placement_(placement) {
    PluginHostOptions host;
    host.root = directory;
    host.state_dir = directory + "/state";
    host.run_dir = directory + "/run";
    host.installation_id = "verify" + std::to_string(random_.next() % 1'000'000);
    host.version = "verify";
    host.host_program = options.host_program;
    host.catalog.trusted_dirs = {directory + "/plugins"};
    host.catalog.settings[id_].placement = placement;
    plugins_ = std::make_unique<PluginHost>(env_, host, [] {});
    bus::BusOptions bus_options;
    bus_options.bus_socket = directory + "/bus.sock";
    bus_options.router.admit = [this](const auto& peer, const auto& hello) { return plugins_->admit(peer, hello); };
    bus_ = std::make_unique<bus::Bus>(
        loop_, random_, std::move(bus_options),
        bus::BusEvents{.on_joined = [this](const auto& name) { plugins_->on_joined(name); },
                       .on_suspected = [this](const auto& name) { plugins_->on_suspected(name); },
                       .on_gone = [this](const auto& name, const auto& why) { plugins_->on_gone(name, why); }});
  }
  ~Bench() override {
    plugins_->stop();
    workers_.stop();
    bus_.reset();
  }

  Status start() {
    SKEP_TRY(bus_->start());
    SKEP_TRY(plugins_->start(*bus_));
    return wait_running();
  }

  Status wait_running() {
    const TimePoint until = clock_.now() + 20s;
    for (;;) {
      for (const auto& info : plugins_->list()) {
        if (info.id() == id_ && info.state() == "running") {
          return ok();
        }
        if (info.id() == id_ && (info.state() == "refused" || info.state() == "unhealthy")) {
          return Error{Code::kFailedPrecondition, info.reason()};
        }
      }
      if (clock_.now() > until) {
        return Error{Code::kTimeout, "the plugin does not come up: " + plugins_->list().front().reason()};
      }
      loop_.run_once(20ms);
    }
  }

  Result<rpc::Body> call(std::string_view method, const rpc::Body& body) override {
    auto answer = std::make_shared<std::optional<Result<rpc::Body>>>();
    bus_->caller().call(id_, method, body, {.deadline = 60s},
                        [answer](Result<rpc::Body> reply) { *answer = std::move(reply); });
    while (!answer->has_value()) {
      loop_.run_once(20ms);
    }
    return std::move(**answer);
  }

  Status crash() override {
    if (placement_ == "inproc") {
      return Error{Code::kUnimplemented, "an in-process plugin cannot be ended alone"};
    }
    SKEP_TRY(wait_running());  // one that does not run has no process to end
    const int pid = plugins_->list().front().pid();
    const auto restarts = plugins_->list().front().restarts();
    ::kill(pid, SIGKILL);
    while (plugins_->list().front().restarts() == restarts) {
      loop_.run_once(20ms);
    }
    return wait_running();
  }

  /// Pulls the image runtimes with images run.
  Status pull(const std::string& image) {
    auto done = std::make_shared<std::optional<Status>>();
    runtime::v1::PullRequest request;
    request.set_image(image);
    request.set_tag("skep-conformance:1");
    auto stream = rpc::open<runtime::v1::methods::Pull>(
        bus_->caller(), id_, request, {.deadline = 60s}, [](const auto&) {},
        [done](Status status) { *done = std::move(status); });
    while (!done->has_value()) {
      loop_.run_once(20ms);
    }
    return std::move(**done);
  }

 private:
  std::string id_;
  std::string placement_;
  base::AsioLoop loop_;
  PosixClock clock_;
  PosixRandom random_;
  PosixDisk disk_;
  PosixSubprocess subprocess_;
  WorkerPool workers_{loop_, 2};
  Env env_{clock_, random_, loop_, workers_, disk_, subprocess_};
  std::unique_ptr<PluginHost> plugins_;
  std::unique_ptr<bus::Bus> bus_;
};

/// A directory for one run, removed with everything below it.
class Directory {
 public:
  static Result<std::unique_ptr<Directory>> make() {
    char name[] = "/tmp/skep-verify-XXXXXX";
    if (::mkdtemp(name) == nullptr) {
      return errno_error(errno, "make a directory in /tmp");
    }
    return std::unique_ptr<Directory>(new Directory(name));
  }
  ~Directory() { (void)PosixDisk().remove_tree(path_).has_value(); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit Directory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

struct Tally {
  int passed = 0;
  int failed = 0;
  int skipped = 0;
};

void report(const std::string& placement, const testing::CaseResult& result, Tally& tally) {
  const char* verdict = result.passed ? "ok  " : result.skipped ? "skip" : "FAIL";
  ++(result.passed ? tally.passed : result.skipped ? tally.skipped : tally.failed);
  std::printf("%s  %-8s  %s%s%s\n", verdict, placement.c_str(), result.name.c_str(),
              result.why.empty() ? "" : "\n      ", result.why.c_str());
  std::fflush(stdout);
}

void report_status(const std::string& placement, const std::string& name, const Status& status, Tally& tally) {
  report(placement, {.name = name, .passed = bool(status), .skipped = false,
                     .why = status ? "" : status.error().message}, tally);
}

Status copy_plugin(const std::string& from, const std::string& directory) {
  PosixDisk disk;
  SKEP_TRY_ASSIGN(const std::string content, disk.read_file(from));
  SKEP_TRY(disk.make_directories(directory + "/plugins", 0700));
  return disk.write_file_atomic(directory + "/plugins/plugin.so", content, 0600);
}

Status run_placement(const VerifyOptions& options, const Manifest& manifest, const std::string& placement,
                     Tally& tally) {
  SKEP_TRY_ASSIGN(const auto directory, Directory::make());
  SKEP_TRY(copy_plugin(options.plugin, directory->path()));
  Bench bench(options, manifest, placement, directory->path());
  const Status started = bench.start();
  report_status(placement, "start: loads, starts and says hello", started, tally);
  if (!started) {
    return ok();
  }
  for (const auto& driver : manifest.drivers) {
    testing::SuiteOptions suite;
    auto cases = testing::common_suite(driver.kind());
    if (driver.kind() == "runtime" && !options.image.empty()) {
      const Status pulled = bench.pull(options.image);
      report_status(placement, "pull: the image given with --image", pulled, tally);
      suite.image = "skep-conformance:1";
    }
    auto kind_cases = testing::suite_of(driver.kind(), suite);
    cases.insert(cases.end(), kind_cases.begin(), kind_cases.end());
    for (const auto& result : testing::run_suite(cases, bench)) {
      report(placement, result, tally);
    }
  }
  return ok();
}

}  // namespace

Result<bool> verify(const VerifyOptions& options) {
  log::set_level(LogLevel::kError);
  SKEP_TRY_ASSIGN(const Manifest manifest, read_manifest(options.plugin));
  Tally tally;
  const Status exports = check_exports(options.plugin);
  report_status("file", "exports skep_plugin_entry_v1 and nothing else", exports, tally);
  if (manifest.allows_isolated && exports) {
    SKEP_TRY(run_placement(options, manifest, "isolated", tally));
  }
  // A plugin that cannot stand isolated could take this process with it.
  if (manifest.allows_inproc && tally.failed == 0) {
    SKEP_TRY(run_placement(options, manifest, "inproc", tally));
  }
  std::printf("%s %s: %d passed, %d failed, %d skipped\n", manifest.id.c_str(), manifest.version.c_str(),
              tally.passed, tally.failed, tally.skipped);
  return tally.failed == 0;
}

}  // namespace skep::host
