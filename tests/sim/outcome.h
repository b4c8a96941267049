#pragma once

// What a run was like, and whether enough happened in it.

#include <cstdint>
#include <map>
#include <string>

#include "plugins/consensus/raft/message.h"

namespace skep::sim {

/// Every so many seeds one is wide.
inline constexpr std::uint64_t kWideEvery = 32;
/// Of so many seeds the last one has managers that seal logs and states, as agents do. Not all: sealing draws from the
/// managers' randomness, and the seeds that were red once shall stay the runs they were.
inline constexpr std::uint64_t kSealedEvery = 3;

/// Of so many seeds the second one has voters that lose their logs, and no other changes of the members.
inline constexpr std::uint64_t kLosesLogEvery = 5;

/// Of so many seeds one, if it is not wide, has a swarm with certificates. The others are the runs they were.
inline constexpr std::uint64_t kCertifiedEvery = 7;
inline constexpr std::uint64_t kCertifiedRest = 3;

/// How large the world of a seed is. Wide: many nodes and tasks, and one manager that others join. Else: several
/// managers with few nodes, which are the cheaper way to many elections.
struct Shape {
  bool wide = false;
  std::size_t managers = 1;
  std::size_t nodes = 20;
  std::size_t services = 10;
  std::uint64_t tasks_least = 205;  ///< wanted at the beginning
  std::uint64_t replicas_least = 10;
  std::uint64_t replicas_more = 16;
  std::uint64_t log_entries_most = 0;  ///< that a log may hold when all is well; not of wide ones, which never compact
  std::size_t clients = 0;  ///< of registers, for the check of linearizability
};

/// What a long run must have reached, or its seeds are not worth their time.
inline constexpr const char* kSituations[] = {
    "append refused",     "election at once",      "flipped bit in a log", "flipped bit in a state", "pre-vote refused",
    "read at a follower", "slow disk handed over", "snapshot offered",     "vote refused",           "watch resumed"};

struct Outcome {
  std::uint64_t seed = 0;
  std::string violation;  ///< empty: green
  bool wide = false;
  bool sealed = false;
  bool certified = false;
  std::size_t managers = 0;  ///< at the beginning
  std::size_t joined = 0;
  std::size_t nodes = 0;
  std::size_t tasks = 0;
  std::size_t commits = 0;
  std::size_t elections = 0;   ///< terms that had a leader
  std::size_t operations = 0;  ///< of clients, checked for linearizability
  std::size_t told = 0;        ///< events of a watcher, checked one by one
  std::uint64_t frames = 0;
  std::uint64_t frames_lost = 0;
  double virtual_minutes = 0;
  std::map<std::string, std::size_t> faults;  ///< those that really fired, operator's actions too
  std::map<std::string, std::size_t> reached;  ///< situations that a run of many seeds must have been in
  std::uint64_t trace_hash = 0;

  void note(const raft::Message& message);
  [[nodiscard]] std::size_t faults_fired() const;
  /// Empty: enough happened for the seed to count. Otherwise what there was too little of.
  [[nodiscard]] std::string why_it_does_not_count() const;
};

}  // namespace skep::sim
