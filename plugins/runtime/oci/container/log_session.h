#pragma once

// One logs call: lines of a container's log files over a bus stream, optionally followed until the
// container has ended. Files are read on workers in blocks, sent as the receiver gives credit, so
// memory stays bounded however large the log. Loop thread only.

#include <deque>
#include <functional>
#include <memory>

#include "plugins/runtime/oci/container/fd.h"
#include "plugins/runtime/oci/container/log_files.h"
#include "skep/runtime.h"

namespace skep::oci {

class LogSession : public std::enable_shared_from_this<LogSession> {
 public:
  using Stream = rpc::TypedServerStream<runtime::v1::methods::Logs>;
  /// `has_ended` says whether the container writes no more.
  LogSession(Env& env, std::string directory, Stream stream, std::function<bool()> has_ended,
             std::function<void(LogSession*)> on_over);
  ~LogSession();
  LogSession(const LogSession&) = delete;
  LogSession& operator=(const LogSession&) = delete;

  void begin(const runtime::v1::LogsRequest& request);
  /// Something may be new: more lines, or the container ended.
  void poke();
  void abort(Error why);

 private:
  void set_handlers();
  Status watch_directory();
  void read_more();
  void on_text(Result<std::string> text, bool ended_before);
  void send_pending();
  void over();

  Env& env_;
  std::string directory_;
  Stream stream_;
  std::function<bool()> has_ended_;
  std::function<void(LogSession*)> on_over_;
  runtime::v1::LogsRequest request_;
  std::shared_ptr<LogReader> reader_;  // work on a worker thread may outlive the session
  std::deque<runtime::v1::LogLine> pending_;  // of one block
  UniqueFd inotify_;
  WatchId watch_ = 0;
  bool positioned_ = false;
  bool reading_ = false;
  bool poked_ = false;
  bool over_ = false;
};

}  // namespace skep::oci
