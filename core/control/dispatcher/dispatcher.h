#pragma once

// Sessions between this leading manager and the nodes: who is there, what each node should have,
// and what it reports. Pure: events and time in, effects out; dispatcher_service.h performs them.
// One object per leadership. A node is down after three missed heartbeats or 3 s after its
// session's stream closed, whichever comes first; after it said that it restarts, 30 s; a new
// leader gives every node 30 s. Tasks of a node that stays down for 24 h are orphaned.

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "core/control/dispatcher/assignment_set.h"
#include "core/control/dispatcher/observed_writes.h"
#include "core/store/commit.h"
#include "core/store/view.h"
#include "skep/dispatch.pb.h"
#include "skep/env.h"
#include "skep/result.h"

namespace skep::control {

namespace effect {
struct SendSession {
  std::string session_id;
  dispatch::v1::SessionMessage message;
};
struct SendAssignments {  ///< answer with assignments_sent() once all are handed over
  std::string session_id;
  std::vector<dispatch::v1::AssignmentsMessage> messages;
};
struct EndSession {  ///< ends both streams
  std::string session_id;
  Error error;
};
struct Propose {  ///< answer with committed()
  store::Transaction transaction;
};
struct Reply {  ///< to an update_tasks() call
  std::uint64_t token;
  Status status;
};
}  // namespace effect
using Effect = std::variant<effect::SendSession, effect::SendAssignments, effect::EndSession,
                            effect::Propose, effect::Reply>;
using Effects = std::vector<Effect>;

class Dispatcher {
 public:
  struct Settings {
    std::uint64_t leader_epoch = 1;          ///< the term
    std::vector<std::string> managers = {};  ///< "ID=HOST:PORT"
    std::string self = {};                   ///< of this one, which leads; may be empty
    std::uint64_t incarnation = 0;           ///< of the swarm
  };
  /// `view` and `random` outlive this object.
  Dispatcher(const store::View& view, Random& random, Settings settings);
  ~Dispatcher();

  /// This manager leads: every known node gets the full grace.
  Effects start(TimePoint now);
  Effects on_commit(const store::Commit& commit, TimePoint now);
  /// At or after next_wakeup().
  Effects on_time(TimePoint now);
  /// Far in the future when nothing is due.
  [[nodiscard]] TimePoint next_wakeup() const;
  /// The managers changed: every session is told.
  Effects set_managers(std::vector<std::string> managers);

  /// Registers the node anew; a session it had before ends. Answers the session id; the first
  /// session message is among the effects. kNotFound NODE_UNKNOWN: the node is not of this swarm.
  /// kAlreadyExists IDENTITY_IN_USE: another process has a living session as this node.
  Result<std::string> open_session(const dispatch::v1::SessionRequest& request, TimePoint now,
                                   Effects& effects);
  /// The stream of the session broke or its connection closed. Unknown ids are ignored.
  Effects session_closed(const std::string& session_id, TimePoint now);
  /// kNotFound SESSION_UNKNOWN: open a new session.
  Result<dispatch::v1::HeartbeatResponse> heartbeat(const dispatch::v1::HeartbeatRequest& request,
                                                    TimePoint now);
  /// Success: a Reply with `token` follows when the statuses are committed. kPermissionDenied: some
  /// task is not of this node, nothing was taken.
  Status update_tasks(const dispatch::v1::UpdateTaskStatusRequest& request, std::uint64_t token,
                      TimePoint now, Effects& effects);
  Status update_description(const dispatch::v1::UpdateDescriptionRequest& request,
                            std::uint64_t token, TimePoint now, Effects& effects);
  /// The node wants its assignments (from the start); replaces an earlier stream of the session.
  Status open_assignments(const std::string& session_id, TimePoint now, Effects& effects);
  Effects assignments_sent(const std::string& session_id, TimePoint now);
  void assignments_closed(const std::string& session_id);
  Effects committed(const Result<std::uint64_t>& result, TimePoint now);

  /// The node of a session, for the check of its principal; empty when unknown.
  [[nodiscard]] std::string node_of(const std::string& session_id) const;
  [[nodiscard]] std::size_t sessions() const { return sessions_.size(); }

 private:
  struct Session {
    std::string node_id;
    std::string boot_id;
    bool stream_open = true;
    bool restarting = false;
    bool stopping = false;
    TimePoint last_heard{};
    std::unique_ptr<AssignmentSet> assignments;  // while the node's assignment stream is open
    bool sending = false;                        // messages wait for the stream's credit
    TimePoint last_sent{};
    std::string node_spec_sent;  // bytes of the spec in the last session message
  };
  using Timers = std::set<std::pair<TimePoint, std::string>>;

  static Error unknown_session();
  [[nodiscard]] Duration period() const;
  /// What the swarm wants of certificates, in a session message; made once per Cluster version.
  const dispatch::v1::SessionMessage& certificate_wishes() const;
  /// Another agent with the identity of a node whose session is alive: told to everybody.
  Error identity_in_use(const model::v1::Node& node);
  Session* find(const std::string& session_id);
  void end_session(const std::string& session_id, Error error, Effects& effects);
  void give_until(const std::string& node_id, TimePoint deadline);
  void forget_deadline(const std::string& node_id);
  void node_changed(const std::string& node_id, const std::vector<const std::string*>& tasks,
                    TimePoint now, Effects& effects);
  void node_missed(const std::string& node_id, TimePoint now);
  void orphan_tasks(const std::string& node_id, const std::string& why);
  void send_session(const std::string& session_id, Session& session, Effects& effects);
  void send_assignments(const std::string& session_id, Session& session, TimePoint now,
                        Effects& effects);
  void flush(TimePoint now, Effects& effects);

  const store::View& view_;
  Random& random_;
  Settings settings_;
  std::map<std::string, Session> sessions_;  // by session id
  std::map<std::string, std::string> session_of_node_;
  Timers deadlines_;  // node ids
  std::map<std::string, TimePoint> deadline_of_;
  Timers orphan_at_;  // node ids that are down
  Timers sends_;      // session ids with assignments to send
  mutable std::uint64_t wishes_version_ = 0;
  mutable dispatch::v1::SessionMessage wishes_;
  ObservedWrites writes_;
  TimePoint paused_until_{};
};

}  // namespace skep::control
