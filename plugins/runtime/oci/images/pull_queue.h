#pragma once

// Which pulls run now: equal ones share one run, only a few run at once, so that slow registries
// never hold every worker thread of the plugin. Decides only; the owner starts the work. Loop
// thread.

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "skep/result.h"
#include "skep/runtime.pb.h"

namespace skep::oci {

class PullQueue {
 public:
  static constexpr std::size_t kRunningMax = 2;
  static constexpr std::size_t kWaitingMax = 1024;  ///< callers, over all pulls

  using Line = std::function<void(std::string_view line)>;
  using Done = std::function<void(const Result<runtime::v1::Image>& image)>;
  /// Starts one pull elsewhere; the owner reports with on_line() and on_done() under `key`. An
  /// error is the answer to everybody who waits for that pull.
  using Start =
      std::function<Status(const std::string& key, const runtime::v1::PullRequest& request)>;

  explicit PullQueue(Start start) : start_(std::move(start)) {}

  /// `done` is called exactly once, unless the queue is destroyed before. kResourceExhausted: too
  /// many callers wait.
  Status add(const runtime::v1::PullRequest& request, Line line, Done done);
  void on_line(const std::string& key, std::string_view line);
  void on_done(const std::string& key, const Result<runtime::v1::Image>& image);

 private:
  struct Caller {
    Line line;
    Done done;
  };
  struct Pull {
    runtime::v1::PullRequest request;
    std::vector<Caller> callers;
  };
  void start_next();

  Start start_;
  std::map<std::string, Pull> pulls_;  ///< by serialised request
  std::deque<std::string> waiting_;    ///< keys not started yet, oldest first
  std::size_t running_ = 0;            ///< <= kRunningMax
  std::size_t callers_ = 0;            ///< <= kWaitingMax
};

}  // namespace skep::oci
