#pragma once

// How many tasks a swarm may be asked for: every manager holds each of them in memory.

#include <cstdint>
#include <string>

#include "core/store/view.h"
#include "skep/result.h"

namespace skep::control {

/// Bytes of all tasks that services ask for, counted as their specifications and kTaskBytes each.
inline constexpr std::uint64_t kAllTasksBytesMax = std::uint64_t{1} << 30U;
/// What a small task costs a manager beside its specification, bytes.
inline constexpr std::uint64_t kTaskBytes = 5000;

/// kResourceExhausted TOO_MANY_TASKS when there is no room for what `spec` asks for beside the other services; `service_id`
/// is the one it replaces, or "". One that asks for no more than it had is always let through. Pure.
Status check_task_room(const store::View& view, const model::v1::ServiceSpec& spec, const std::string& service_id);

}  // namespace skep::control
