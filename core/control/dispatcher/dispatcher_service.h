#pragma once

// Performs what the Dispatcher decides: owns the streams of sessions and assignments, the timer and
// the answers that wait for a commit. One per leadership; nodes are told to look for another
// manager when it ends. Loop thread only.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/control/control_loop.h"
#include "core/control/dispatcher/dispatcher.h"
#include "skep/dispatch.methods.h"
#include "skep/rpc.h"

namespace skep::control {

class DispatcherService final : public ControlLoop {
 public:
  DispatcherService(const LoopContext& context, Dispatcher::Settings settings);
  ~DispatcherService() override;
  DispatcherService(const DispatcherService&) = delete;
  DispatcherService& operator=(const DispatcherService&) = delete;

  /// Answers dispatch/1. `service` is asked for every request and gives kUnavailable NOT_LEADER or
  /// NO_LEADER while this manager does not lead; a session then gets `redirect` first. A session begins when
  /// `confirm` succeeds (LeaderProof::ask): a leader that was overtaken neither gives a node that was removed its
  /// tasks with their secrets nor tells one the role of before.
  struct Access {
    std::function<Result<DispatcherService*>()> service;
    std::function<dispatch::v1::SessionMessage()> redirect;
    std::function<void(std::function<void(Status)>)> confirm;
  };
  static void register_methods(rpc::MethodTable& table, const Access& access);

  /// Tells every node: "ID=HOST:PORT" of each manager.
  void set_managers(std::vector<std::string> managers);

  void start() override;
  void on_commit(const store::Commit& commit) override;
  void stop() override;

  [[nodiscard]] std::size_t sessions() const { return dispatcher_.sessions(); }

 private:
  using SessionStream = rpc::TypedServerStream<dispatch::v1::methods::Session>;
  using AssignmentStream = rpc::TypedServerStream<dispatch::v1::methods::Assignments>;
  struct Streams {
    std::optional<SessionStream> session;
    std::optional<dispatch::v1::SessionMessage> unsent;  // only the newest matters
    std::optional<AssignmentStream> assignments;
    std::deque<dispatch::v1::AssignmentsMessage> queue;  // one batch at most
    std::uint64_t generation = 0;                        // of the assignment stream
  };
  using Done = std::function<void(Status)>;

  void open_session(const dispatch::v1::SessionRequest& request, SessionStream stream);
  void open_assignments(const dispatch::v1::AssignmentsRequest& request, AssignmentStream stream);
  Status check_caller(const rpc::CallContext& context, const std::string& session_id) const;
  template <class Request>
  void update(Status (Dispatcher::*method)(const Request&, std::uint64_t, TimePoint, Effects&),
              const Request& request, const rpc::CallContext& context, Done done);
  void perform(Effects effects);
  void send_session(const std::string& session_id);
  void pump_assignments(const std::string& session_id);
  void end_streams(const std::string& session_id, const Error& error);
  void arm();
  TimePoint now() { return context_.env.clock.now(); }
  template <class F>
  std::function<void()> guarded(F f);

  const LoopContext context_;
  Dispatcher dispatcher_;
  std::map<std::string, Streams> streams_;  // by session id
  std::map<std::uint64_t, Done> waiting_;
  std::uint64_t last_token_ = 0;
  std::uint64_t last_generation_ = 0;
  TimerId timer_ = 0;
  TimePoint timer_at_ = TimePoint::max();
  std::shared_ptr<char> alive_;
};

}  // namespace skep::control
