#pragma once

// One exec call: a process in a container whose standard streams travel over a bus stream. The
// session ends with the process; when the caller goes away first, the process is killed. Loop
// thread only; the driver owns it, and lets go some time after `on_over`, never from within it.

#include <functional>
#include <memory>

#include "plugins/runtime/oci/container/exec_process.h"
#include "plugins/runtime/oci/container/stream_pump.h"
#include "skep/runtime.h"

namespace skep::oci {

class ExecSession : public std::enable_shared_from_this<ExecSession> {
 public:
  using Stream = rpc::TypedServerStream<runtime::v1::methods::Exec>;
  ExecSession(Env& env, std::shared_ptr<Engine> engine, Stream stream,
              std::function<void(ExecSession*)> on_over);
  ~ExecSession();
  ExecSession(const ExecSession&) = delete;
  ExecSession& operator=(const ExecSession&) = delete;

  void begin(const ContainerRecord& record, const runtime::v1::ExecInput& first,
             std::uint64_t number);
  /// Ends it now with `why`; the process is killed.
  void abort(Error why);

 private:
  void on_input(const runtime::v1::ExecInput& input);
  void on_started(StartedExec exec, bool tty);
  bool on_output(std::uint32_t stream, std::string_view chunk);
  void check_started();
  void await_start();
  void release_early();
  void on_exit();
  void finish_when_drained();
  void kill_process();
  void over();

  Env& env_;
  std::shared_ptr<Engine> engine_;  // work on worker threads may outlive the session
  Stream stream_;
  std::function<void(ExecSession*)> on_over_;
  ContainerRecord record_;
  StartedExec exec_;
  TerminalSize size_;
  std::unique_ptr<InputFeed> input_;
  std::unique_ptr<OutputPump> output_;
  std::unique_ptr<OutputPump> errors_;
  WatchId exit_watch_ = 0;
  TimerId start_timer_ = 0;
  bool tty_ = false;
  bool started_ = false;   // the process runs: what comes is its output, not the runtime's complaint
  bool exited_ = false;
  bool over_ = false;
  int exit_code_ = 0;
  std::vector<runtime::v1::ExecOutput> early_;  // before started_ is known
  std::size_t early_bytes_ = 0;
};

}  // namespace skep::oci
