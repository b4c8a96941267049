#pragma once

// What judging a file and judging a program share: a bus with a plugin host and a loop that turns
// while a call waits, a directory of one run, and the report.

#include <memory>
#include <string>

#include "core/base/real_env.h"
#include "core/pluginhost/plugin_host.h"
#include "core/pluginhost/verify.h"
#include "skep/testing/conformance.h"

namespace skep::host {

/// A directory for one run, removed with everything below it.
class Directory {
 public:
  static Result<std::unique_ptr<Directory>> make();
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit Directory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

class Report {
 public:
  void add(const std::string& placement, const testing::CaseResult& result);
  void add(const std::string& placement, const std::string& name, const Status& status);
  void print_sum(const std::string& who) const;
  [[nodiscard]] int failed() const { return failed_; }

 private:
  int passed_ = 0;
  int failed_ = 0;
  int skipped_ = 0;
};

class Bench : public testing::Probe {
 public:
  /// Everything lies below `directory`; `catalog` says which files are started.
  Bench(std::string directory, CatalogOptions catalog, std::string host_program);
  ~Bench() override;

  /// Opens the bus and starts the catalog's plugins; again after close_agent(), as a restarted agent.
  Status open_agent();
  /// Says BYE to everybody and ends the catalog's plugins.
  void close_agent();
  [[nodiscard]] std::string bus_socket() const { return directory_ + "/bus.sock"; }

  /// call() calls this driver or plugin from now on.
  void aim(std::string target) { target_ = std::move(target); }
  Result<rpc::Body> call(std::string_view method, const rpc::Body& body) override;
  Result<std::vector<rpc::Body>> stream(std::string_view method, const rpc::Body& body) override;
  rpc::MethodTable& core() override { return bus_->table(); }
  bool wait(const std::function<bool()>& holds, std::chrono::milliseconds limit) override {
    return turn_until(limit, holds);
  }

 protected:
  /// A plugin says it serves; called on the loop.
  virtual void on_joined(const std::string& id) { (void)id; }
  /// A frame that went through the bus.
  virtual void on_traffic(const bus::TraceFrame& frame) { (void)frame; }
  /// Ends at once what this run started, before the process does.
  virtual void abandon() {}
  void turn();
  /// Turns the loop until `holds`; false when `limit` passed first.
  template <class Condition>
  bool turn_until(Duration limit, Condition holds) {
    const TimePoint until = real_.clock.now() + limit;
    while (!holds()) {
      if (real_.clock.now() > until) {
        return false;
      }
      turn();
    }
    return true;
  }
  PluginHost& plugins() { return *plugins_; }
  bus::Bus& bus() { return *bus_; }
  Env& env() { return real_.env; }

 private:
  void on_signal();

  std::string directory_;
  CatalogOptions catalog_;
  std::string host_program_;
  std::string target_;
  int signals_ = -1;
  WatchId signal_watch_ = 0;
  base::RealEnv real_{2};
  std::unique_ptr<PluginHost> plugins_;
  std::unique_ptr<bus::Bus> bus_;
};

/// Network drivers change the network of the machine they run on: moves this process, and what it starts, into a
/// network namespace of its own. Before any thread exists.
Status leave_network();

/// Prints the end of a file, where it has one; `title` says whose words they are.
void print_tail(Disk& disk, const std::string& file, const char* title);

/// That `drivers` serve each of `kinds`.
Status check_kinds(const std::vector<std::string>& kinds, const std::vector<bus::v1::DriverName>& drivers);

/// Runs the suites of `driver` against `bench`, one case after the other, while `goes_on`.
void run_suites(Bench& bench, const bus::v1::DriverName& driver, const VerifyOptions& options,
                const std::string& placement, const std::function<bool()>& goes_on, Report& report);

}  // namespace skep::host
