#pragma once

// The agent as a command sees it: calls that block until answered, and streams that run the loop
// until they end. Everything happens on the caller's thread; while a call waits, the loop's timers
// and watched fds (Ctrl-C, the terminal) are served.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "skep/env.h"
#include "skep/pages.h"
#include "skep/result.h"
#include "skep/rpc.h"

namespace skep::ctl {

/// One connection to an agent, with the loop it lives on.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual rpc::Caller& caller() = 0;
  virtual Loop& loop() = 0;
  /// Serves the loop until `done()` is true.
  virtual void run_until(const std::function<bool()>& done) = 0;
  /// While the result lives, that signal does not end the process but runs `on_signal` on the loop.
  virtual std::shared_ptr<void> watch_signal(int number, std::function<void()> on_signal) = 0;
};

inline constexpr std::chrono::milliseconds kCallDeadline{30'000};
/// Target of the agent itself; drivers are "runtime/oci", "volume/local".
inline constexpr const char* kCore = "core";

class Client {
 public:
  explicit Client(Connection& connection) : connection_(connection) {}

  /// Calls M and waits. Errors are the agent's own, or kUnavailable/kTimeout.
  template <class M>
  Result<typename M::Response> call(const std::string& target, const typename M::Request& request,
                                    std::chrono::milliseconds deadline = kCallDeadline) {
    SKEP_TRY_ASSIGN(const rpc::Body body,
                    call_raw(target, M::kName, request.SerializeAsString(), deadline));
    return rpc::parse<typename M::Response>(body);
  }

  /// As call(), for lists that come in pages: with the rows of all. `deadline` is that of each page; see
  /// rpc::call_pages() for `go_on`.
  template <class M>
  Result<typename M::Response> list(const std::string& target, const typename M::Request& request,
                                    std::chrono::milliseconds deadline = kCallDeadline,
                                    std::function<bool()> go_on = {}) {
    std::optional<Result<typename M::Response>> all;
    rpc::call_pages<M>(
        connection_.caller(), target, request, {.deadline = deadline},
        [&all](Result<typename M::Response> answer) { all = std::move(answer); }, std::move(go_on));
    connection_.run_until([&all] { return all.has_value(); });
    return std::move(*all);
  }

  /// Opens M and hands every chunk to `on_chunk` until the other side ends.
  template <class M>
  Status stream(const std::string& target, const typename M::Request& first,
                std::function<void(const typename M::Response&)> on_chunk) {
    std::optional<Status> done;
    auto stream = rpc::open<M>(connection_.caller(), target, first,
                               {.deadline = std::chrono::milliseconds(0)}, std::move(on_chunk),
                               [&done](Status status) { done = std::move(status); });
    connection_.run_until([&done] { return done.has_value(); });
    return std::move(*done);
  }

  Result<rpc::Body> call_raw(const std::string& target, std::string_view method, rpc::Body body,
                             std::chrono::milliseconds deadline);
  [[nodiscard]] Connection& connection() { return connection_; }
  /// Serves the loop for `time`, or until `done()`.
  void wait(Duration time, const std::function<bool()>& done);

 private:
  Connection& connection_;
};

}  // namespace skep::ctl
