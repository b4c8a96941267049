#pragma once

// A swarm that goes on from the state of one manager, when the others are lost or the state comes
// from a backup: the same cluster, nodes and services, one manager, a new log. Everything else that
// was a manager becomes a worker. Pure but for apply_incarnation(), which blocks (worker threads).

#include <string>

#include "core/store/state_backend.h"
#include "skep/env.h"
#include "skep/model.pb.h"

namespace skep::control {

/// Log entries that only lost managers held had indexes and terms behind ours. Versions of objects
/// are indexes: the new log begins so far behind that none is given twice.
inline constexpr std::uint64_t kIncarnationIndexGap = 1'000'000;
inline constexpr std::uint64_t kIncarnationTermGap = 1'000;

struct Incarnation {
  std::string cluster_id;  ///< of the state; another one is refused
  std::string node_id;     ///< the one manager
  std::uint64_t member_id = 0;
  std::string address = {};  ///< of that manager, "HOST:PORT"
  WallTime now = 0;
};

/// What is to be written to the state. kFailedPrecondition WRONG_CLUSTER; kDataLoss
/// NO_CLUSTER_STATE: it holds no swarm, or an object that matters cannot be read.
Result<store::StateBatch> new_incarnation(const store::LoadedState& state,
                                          const Incarnation& wanted);

/// Opens the state, checks its hash, writes the above and syncs. Repeating it on the same state is
/// no mistake.
Status apply_incarnation(store::StateBackend& backend, const Incarnation& wanted);

/// What tells incarnations apart, and which is newer: the wall time, but never below the one
/// before.
std::uint64_t next_incarnation(std::uint64_t before, WallTime now);

}  // namespace skep::control
