#pragma once

// One control/1/service_logs call: reads the logs of every task of a service (or of one task) from
// the runtime driver that has its container and merges them into one stream, at the pace of the
// reader: while the reader has no credit, the drivers get none. With `follow`, tasks that start
// later join. Loop thread.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/store/store.h"
#include "skep/control.methods.h"
#include "skep/rpc.h"

namespace skep::control {

/// Finds whom to ask for the log of a task; kUnavailable when its node cannot be reached.
using LogTarget = std::function<Result<std::string>(const model::v1::Task&)>;

class LogStream : public std::enable_shared_from_this<LogStream> {
 public:
  static constexpr std::size_t kTasksMax = 256;  // read at once
  using Stream = rpc::TypedServerStream<control::v1::methods::ServiceLogs>;

  /// Finishes the stream itself when nothing bears that name. `on_end` is called once.
  static std::shared_ptr<LogStream> open(store::Store& store, rpc::Caller& caller, LogTarget target,
                                         const control::v1::ServiceLogsRequest& request,
                                         Stream stream, std::function<void(LogStream*)> on_end);
  ~LogStream();
  void finish(Status status);

 private:
  struct Source {
    std::shared_ptr<rpc::ClientStream> stream;
    std::string node_id;
    std::string partial[3];  // unfinished line, by stream number
    bool done = false;
  };
  LogStream(store::Store& store, rpc::Caller& caller, LogTarget target,
            control::v1::ServiceLogsRequest request, Stream stream,
            std::function<void(LogStream*)> on_end);
  Status find_tasks();
  void consider(const model::v1::Task& task);
  void on_line(const std::string& task_id, std::int64_t timestamp, std::uint32_t stream,
               const std::string& data, bool partial);
  void source_done(const std::string& task_id, const Status& status);
  void note(const model::v1::Task& task, const std::string& text);
  void pump();
  void hold_sources(bool hold);
  void finish_if_done();
  void end();

  store::Store& store_;
  rpc::Caller& caller_;
  const LogTarget target_;
  const control::v1::ServiceLogsRequest request_;
  Stream stream_;
  std::function<void(LogStream*)> on_end_;
  std::string service_id_;                 // empty: one task
  std::map<std::string, Source> sources_;  // by task id
  std::deque<control::v1::ServiceLogLine> queue_;
  store::SubscriptionId subscription_ = 0;
  std::size_t open_sources_ = 0;
  bool held_ = false;
  bool ended_ = false;
};

}  // namespace skep::control
