#pragma once

// The node's session with the managers: registers, sends heartbeats, takes assignments, reports
// statuses until they are acknowledged, and tells a changed description. When it breaks, it comes
// back by itself; meanwhile tasks go on. Loop thread only.

#include <functional>
#include <memory>
#include <string>

#include "core/node/node.h"
#include "core/node/session_state.h"
#include "skep/rpc.h"

namespace skep::node {

class Session {
 public:
  struct Hooks {
    std::function<model::v1::NodeDescription()> description;
    std::function<void(AssignmentTracker::Assignments)> assignments;
    /// The task is still on this node: a status of one that is not is dropped.
    std::function<bool(const std::string& task_id)> is_known;
  };

  Session(Env& env, rpc::Caller& caller, const NodeConfig& config, Hooks hooks);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start();
  /// Queues the status; sends it with others as soon as a session allows.
  void report(const std::string& task_id, const model::v1::TaskStatus& status);
  /// The description may have changed: sent when it did.
  void describe();
  /// Tells the manager that this agent ends; `done` within a second in any case.
  void announce(Farewell farewell, std::function<void()> done);
  /// Tells the managers to replace this node's tasks elsewhere now (or that it stays after all).
  void set_stopping(bool stopping);
  [[nodiscard]] bool up() const { return !session_id_.empty(); }

 private:
  void connect();
  void on_message(const dispatch::v1::SessionMessage& message);
  /// Ends what is left of the session and tries again after a back-off.
  void lost(const std::string& why);
  void close();
  void open_assignments();
  void on_assignments(const dispatch::v1::AssignmentsMessage& message);
  void arm_heartbeat(Duration delay);
  void heartbeat();
  void flush();
  void on_flushed(const std::vector<dispatch::v1::TaskStatusUpdate>& updates, const Status& status);
  void arm_description();
  void drop_unknown();
  /// Wraps a callback so that it only runs in the session it was made in.
  template <class F>
  auto mine(F callback);

  Env& env_;
  rpc::Caller& caller_;
  const NodeConfig& config_;
  Hooks hooks_;
  std::string boot_id_;
  std::string session_id_;       ///< empty: no session
  std::string last_session_id_;  ///< named when the next one is opened
  BackOff back_off_;
  AssignmentTracker tracker_;
  StatusQueue statuses_;
  std::shared_ptr<rpc::ClientStream> stream_;
  std::shared_ptr<rpc::ClientStream> assignments_;
  std::uint64_t serial_ = 0;       ///< of the session; older callbacks do nothing
  std::uint64_t assign_serial_ = 0;
  TimerId connect_timer_ = 0;
  TimerId heartbeat_timer_ = 0;
  TimerId flush_timer_ = 0;
  TimerId description_timer_ = 0;
  bool refused_ = false;  // by the managers, and told
  bool synced_ = false;  ///< this session told what the node should have
  bool flushing_ = false;
  bool stopping_ = false;
  bool describing_ = false;
  Duration period_{0};
  int heartbeats_missed_ = 0;
  std::string description_sent_;  ///< what the managers surely have; "": not known
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::node
