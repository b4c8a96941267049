#pragma once

// What the verbs of `agentctl swarm` share.

#include <fmt/format.h>

#include <string>

#include "core/agentctl/command.h"
#include "core/agentctl/text.h"
#include "core/model/defaults.h"
#include "core/model/units.h"
#include "skep/model.pb.h"

namespace skep::ctl {

/// A parser of a flag that gives a positive duration in ns to `set`.
template <class Set>
auto duration_flag(Set set) {
  return [set](const std::string& text) -> Status {
    SKEP_TRY_ASSIGN(const Duration time, model::parse_duration(text));
    if (time.count() <= 0) {
      return Error{Code::kInvalidArgument, fmt::format("'{}' is not longer than zero", text)};
    }
    set(time.count());
    return ok();
  };
}

template <class Set>
auto count_flag(Set set) {
  return [set](const std::string& text) -> Status {
    SKEP_TRY_ASSIGN(const std::uint64_t number, parse_count(text));
    set(number);
    return ok();
  };
}

/// Ended tasks kept per slot; any negative number means all.
inline Status set_history(model::v1::ClusterSpec& spec, const std::string& text) {
  const bool negative = text.starts_with('-');
  SKEP_TRY_ASSIGN(const std::uint64_t number, parse_count(text.substr(negative ? 1 : 0)));
  spec.set_task_history_limit(negative ? -1 : static_cast<std::int64_t>(number));
  return ok();
}

/// Log entries between snapshots. 0 would mean "as nobody chose", which the flag does not say.
inline Status set_snapshot_interval(model::v1::ClusterSpec& spec, const std::string& text) {
  SKEP_TRY_ASSIGN(const std::uint64_t number, parse_count(text));
  if (number < 1 || number > model::kSnapshotEntriesMax) {
    return Error{Code::kInvalidArgument, fmt::format("'{}' is out of range: use 1 to {} (the default is {})", text,
                                                     model::kSnapshotEntriesMax, model::kSnapshotEntries)};
  }
  spec.set_snapshot_interval(number);
  return ok();
}

/// What Docker prints with a key: how to unlock, and to keep it.
std::string unlock_advice(const std::string& key);
/// update, unlock, unlock-key, ca.
void add_swarm_admin_commands(Command& swarm);

}  // namespace skep::ctl
