#pragma once

// Whether the swarm goes on under another manager, asked of the other managers themselves: one whose own log is lost,
// or that is cut off in one direction, does not hear of it. Loop thread only.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/agentd/manager_book.h"
#include "core/bus/peers.h"
#include "skep/env.h"

namespace skep::agentd {

struct OtherLeader {
  ManagerAddress manager;
  bool leads = false;  ///< false: it only says that some other one does
};

inline constexpr std::chrono::milliseconds kOtherLeaderWait{2'000};

/// Answers once, within kOtherLeaderWait. A leader counts when a majority still follows it (it answers after a read
/// barrier), and in this incarnation of the swarm or a newer one. nullopt: none answered so, which proves nothing.
/// `peers` outlives the search.
void find_other_leader(bus::Peers& peers, const std::vector<ManagerAddress>& others, std::uint64_t incarnation,
                       std::function<void(std::optional<OtherLeader>)> done);

}  // namespace skep::agentd
