#pragma once

// The swarm goes on with this node as its one manager, when the others are lost for good: what
// `swarm init --force-new-cluster` asks for, and what a restored backup leaves to be done. A part
// of Swarm, whose members it uses. Loop thread only.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/agentd/other_leader.h"
#include "skep/agent.pb.h"
#include "skep/dispatch.pb.h"
#include "skep/result.h"

namespace skep::agentd {

class Swarm;

class Recovery {
 public:
  explicit Recovery(Swarm& swarm) : swarm_(swarm) {}
  Recovery(const Recovery&) = delete;
  Recovery& operator=(const Recovery&) = delete;

  /// Answers the node id. After an error the manager goes on as before. kFailedPrecondition
  /// NOT_IN_SWARM, NOT_A_MANAGER, LOCKED, QUORUM_THERE: this manager hears of a leader, or another one does that
  /// answers within two seconds.
  void force_new_cluster(const agent::v1::InitRequest& request,
                         std::function<void(Result<std::string>)> done);
  /// As was asked for while agentd did not run (SwarmMembership.recover_at_start); instead of
  /// starting the manager. Other managers are not asked.
  void begin_at_start();
  /// At a start: what a recovery or a restored backup left to be done.
  Status finish();
  /// This manager leads: its new log exists.
  void note_bootstrapped();
  /// This member's log is made, and may be opened once that is on disk.
  Status note_log_made();
  /// This manager is left behind by a newer incarnation: the role that an older one told does not
  /// count.
  void follow(std::uint64_t incarnation);
  /// Follows a newer incarnation of the swarm. kUnavailable OLD_INCARNATION: never an older one.
  Status admit(const dispatch::v1::SessionMessage& message);

 private:
  struct Attempt;
  [[nodiscard]] Status may_begin() const;
  [[nodiscard]] std::vector<ManagerAddress> other_managers() const;
  [[nodiscard]] Error led_elsewhere(const OtherLeader& other) const;
  void make_anew(const agent::v1::InitRequest& request, std::function<void(Result<std::string>)> done);
  void copy_state(const std::shared_ptr<Attempt>& attempt);
  void read_out_log(const std::shared_ptr<Attempt>& attempt);
  void go_on_without_log(const std::shared_ptr<Attempt>& attempt);
  void rewrite_state(const std::shared_ptr<Attempt>& attempt);
  void take_up(const std::shared_ptr<Attempt>& attempt);
  void give_up(const std::shared_ptr<Attempt>& attempt, Error error);

  Swarm& swarm_;
  std::uint64_t told_by_ = 0;  // incarnation of the last session message, which told the role
};

}  // namespace skep::agentd
