#pragma once

// Judges, on one manager, why nobody leads: whose votes it reaches, whose not, and what its own log
// says of itself. Pure: it is told who answered when. swarm_health.h tells it and asks it.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "skep/consensus.pb.h"
#include "skep/env.h"
#include "skep/result.h"

namespace skep::control {

/// Who votes: members that are no learners.
std::size_t count_votes(const std::vector<consensus::v1::Member>& members);

class QuorumWatch {
 public:
  /// An election may take this long before it is trouble.
  static constexpr Duration kElection = std::chrono::seconds(3);
  /// Of whom nothing was heard for so long, that one does not vote: each stands or answers within two
  /// election timeouts (1 to 2 s each by default).
  static constexpr Duration kHeardFor = std::chrono::seconds(10);

  /// `self` is this manager's member id.
  QuorumWatch(std::uint64_t self, TimePoint now) : self_(self), began_(now), leaderless_since_(now) {}

  /// 0: nobody leads as far as known here.
  void leader_changed(std::uint64_t leader, TimePoint now);
  /// A message of that member's log arrived here.
  void heard(std::uint64_t member, TimePoint now);
  /// That member's manager took a message of this log, or why not.
  void took(std::uint64_t member, const Status& status, TimePoint now);

  struct Picture {
    const std::vector<consensus::v1::Member>& members;
    /// What people call a node.
    std::function<std::string(const std::string& node_id)> name_of;
    std::string log_closed = {};   ///< why this manager's log is not open
    std::string log_failed = {};   ///< why it takes no part any more
    std::string log_stalled = {};  ///< why it can store nothing at the moment
    TimePoint now{};
    WallTime wall_now = 0;
  };
  /// What is wrong, its cause and what to do, for people; empty: nothing.
  [[nodiscard]] std::string trouble(const Picture& picture) const;

 private:
  struct Contact {
    std::optional<TimePoint> heard;
    std::optional<TimePoint> took;
    std::optional<TimePoint> refused_since;
    std::string cause;
  };
  [[nodiscard]] bool votes(std::uint64_t member, TimePoint now) const;
  [[nodiscard]] std::string absent(const consensus::v1::Member& member, const Picture& picture) const;
  [[nodiscard]] std::string no_leader(const Picture& picture) const;

  std::uint64_t self_;
  TimePoint began_;
  std::optional<TimePoint> leaderless_since_;
  std::map<std::uint64_t, Contact> contacts_;
};

}  // namespace skep::control
