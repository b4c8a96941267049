#pragma once

// One agent-plugin-host process: started, found again after an agent's death, watched by pidfd,
// ended. Loop thread only.

#include <functional>
#include <memory>
#include <string>

#include "skep/env.h"
#include "skep/plugin.pb.h"

namespace skep::host {

class HostProcess {
 public:
  /// Why it ended: exit code, or 128 + signal; -1 when that is not ours to know (adopted process).
  using OnEnd = std::function<void(int exit_code)>;

  struct Files {
    std::string record;  ///< HostRecord
    std::string error;   ///< StartFailure, written by the host
    std::string log;     ///< its stdout and stderr
  };

  /// Starts `program` for `boot` and writes the record.
  static Result<std::unique_ptr<HostProcess>> start(Env& env, const std::string& program,
                                                    plugin::v1::BootParams boot, Files files,
                                                    OnEnd on_end);
  /// The process of `files.record`, if it still runs. nullptr when there is none.
  static std::unique_ptr<HostProcess> adopt(Env& env, Files files, OnEnd on_end);
  /// Stops watching; the process lives on.
  ~HostProcess();
  HostProcess(const HostProcess&) = delete;
  HostProcess& operator=(const HostProcess&) = delete;

  [[nodiscard]] const plugin::v1::HostRecord& record() const { return record_; }
  [[nodiscard]] int pid() const { return record_.pid(); }
  void signal(int number) const;
  /// Blocks until it ended, at most `limit`; whether it did. For the agent's own end only.
  [[nodiscard]] bool wait_end(Duration limit) const;
  /// What the host left in its error file, removed by reading.
  Result<plugin::v1::StartFailure> take_failure();

 private:
  HostProcess(Env& env, Files files, OnEnd on_end) : env_(env), files_(std::move(files)), on_end_(std::move(on_end)) {}
  void watch();

  Env& env_;
  Files files_;
  OnEnd on_end_;
  plugin::v1::HostRecord record_;
  int pidfd_ = -1;
  WatchId watch_ = 0;
  bool child_ = false;  // ours to reap
};

}  // namespace skep::host
