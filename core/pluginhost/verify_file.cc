// Judging a shared object: isolated first, then inside this process.
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <mutex>

#include "core/pluginhost/file_safety.h"
#include "core/pluginhost/verify_bench.h"
#include "skep/log.h"

namespace skep::host {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

constexpr Duration kUpLimit = 20s;
constexpr std::size_t kComplaintsMax = 20;

/// What agent and in-process plugins complain of meanwhile: ends and restarts of the plugin among it, which a case
/// that fails does not know of.
class Complaints {
 public:
  Complaints() {
    log::set_level(LogLevel::kWarn);
    log::set_sink([this](LogLevel, std::string_view line) { add(line); });
  }
  ~Complaints() {
    log::set_sink([](LogLevel, std::string_view) {});
  }
  Complaints(const Complaints&) = delete;
  Complaints& operator=(const Complaints&) = delete;

  void print() {
    const std::lock_guard lock(mutex_);
    if (!lines_.empty()) {
      std::printf("---- what the agent noticed:\n");
    }
    for (const std::string& line : lines_) {
      std::printf("%s\n", line.c_str());
    }
  }

 private:
  void add(std::string_view line) {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(line);
    if (lines_.size() > kComplaintsMax) {
      lines_.pop_front();
    }
  }

  std::mutex mutex_;
  std::deque<std::string> lines_;
};

class FileBench final : public Bench {
 public:
  /// `directory` holds plugins/FILE.so and nothing else.
  FileBench(const std::string& directory, const Manifest& manifest, const std::string& placement,
            const std::string& host_program)
      : Bench(directory, catalog(directory, manifest.id, placement), host_program),
        id_(manifest.id),
        placement_(placement) {}

  Status wait_running() {
    std::string refused;
    const bool settled = turn_until(kUpLimit, [&] {
      const auto info = plugins().list().front();
      refused = info.state() == "refused" || info.state() == "unhealthy" ? info.reason() : "";
      return info.state() == "running" || !refused.empty();
    });
    if (!refused.empty()) {
      return Error{Code::kFailedPrecondition, refused};
    }
    return settled ? ok()
                   : Status(Error{Code::kTimeout, "the plugin does not come up: " + plugins().list().front().reason()});
  }

  void print_output() {
    print_tail(env().disk, plugins().log_file(id_), "what the plugin wrote");
  }

  Status crash() override {
    if (placement_ == "inproc") {
      return Error{Code::kUnimplemented, "an in-process plugin cannot be ended alone"};
    }
    SKEP_TRY(wait_running());  // one that does not run has no process to end
    const int pid = plugins().list().front().pid();
    const auto restarts = plugins().list().front().restarts();
    ::kill(pid, SIGKILL);
    if (!turn_until(kUpLimit, [&] { return plugins().list().front().restarts() != restarts; })) {
      return Error{Code::kTimeout, "the plugin was not started again after a crash"};
    }
    return wait_running();
  }

 private:
  static CatalogOptions catalog(const std::string& directory, const std::string& id, const std::string& placement) {
    CatalogOptions options;
    options.trusted_dirs = {directory + "/plugins"};
    options.settings[id].placement = placement;
    return options;
  }

  std::string id_;
  std::string placement_;
};

Status copy_plugin(const std::string& from, const std::string& directory) {
  PosixDisk disk;
  SKEP_TRY_ASSIGN(const std::string content, disk.read_file(from));
  SKEP_TRY(disk.make_directories(directory + "/plugins", 0700));
  return disk.write_file_atomic(directory + "/plugins/plugin.so", content, 0600);
}

Status run_placement(const std::string& file, const VerifyOptions& options, const Manifest& manifest,
                     const std::string& placement, Report& report) {
  SKEP_TRY_ASSIGN(const auto directory, Directory::make());
  SKEP_TRY(copy_plugin(file, directory->path()));
  Complaints complaints;
  FileBench bench(directory->path(), manifest, placement, options.host_program);
  const int failed_before = report.failed();
  SKEP_TRY(bench.open_agent());
  const Status started = bench.wait_running();
  report.add(placement, "start: loads, starts and says hello", started);
  if (started) {
    for (const auto& driver : manifest.drivers) {
      run_suites(bench, driver, options, placement, [] { return true; }, report);
    }
  }
  if (report.failed() > failed_before) {
    complaints.print();
    bench.print_output();
  }
  return ok();
}

}  // namespace

Result<bool> verify_file(const std::string& file, const VerifyOptions& options) {
  SKEP_TRY(check_writers(file));  // its owner may be a developer; an agent also wants root's or its own
  SKEP_TRY_ASSIGN(const Manifest manifest, read_manifest(file));
  const bool network = std::any_of(manifest.drivers.begin(), manifest.drivers.end(),
                                   [](const auto& driver) { return driver.kind() == "network"; });
  if (network) {
    SKEP_TRY(leave_network());
  }
  Report report;
  const Status exports = check_exports(file);
  report.add("file", "exports skep_plugin_entry_v1 and nothing else", exports);
  if (!options.kinds.empty()) {
    report.add("file", "kinds: serves what --kind asks for", check_kinds(options.kinds, manifest.drivers));
  }
  if (manifest.allows_isolated && exports) {
    SKEP_TRY(run_placement(file, options, manifest, "isolated", report));
  }
  // A plugin that cannot stand isolated could take this process with it.
  if (manifest.allows_inproc && report.failed() == 0) {
    SKEP_TRY(run_placement(file, options, manifest, "inproc", report));
  }
  report.print_sum(manifest.id + " " + manifest.version);
  return report.failed() == 0;
}

}  // namespace skep::host
