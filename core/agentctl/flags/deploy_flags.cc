#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "core/agentctl/flags/service_flags.h"
#include "core/model/units.h"

namespace skep::ctl {
namespace {

using model::v1::Resources;
using model::v1::ServiceSpec;

Error bad(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message)};
}

Status set_mode(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  if (value == "replicated") {
    spec.mutable_replicated()->set_replicas(1);
  } else if (value == "global") {
    spec.mutable_global();
  } else if (value == "replicated-job") {
    spec.mutable_replicated_job()->set_total_completions(1);
    spec.mutable_replicated_job()->set_max_concurrent(1);
  } else if (value == "global-job") {
    spec.mutable_global_job();
  } else {
    return bad(fmt::format(
        "'{}' is not a mode: use replicated, global, replicated-job or global-job", value));
  }
  return ok();
}

Status set_replicas(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::uint64_t replicas, parse_count(value));
  if (spec.has_replicated()) {
    spec.mutable_replicated()->set_replicas(replicas);
  } else if (spec.has_replicated_job()) {
    spec.mutable_replicated_job()->set_total_completions(replicas);
    spec.mutable_replicated_job()->set_max_concurrent(replicas);
  } else {
    return bad(
        "replicas go with mode replicated or replicated-job only: a global service has one task "
        "per node");
  }
  return ok();
}

Status set_max_concurrent(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::uint64_t number, parse_count(value));
  if (!spec.has_replicated_job()) {
    return bad("goes with --mode replicated-job only");
  }
  spec.mutable_replicated_job()->set_max_concurrent(number);
  return ok();
}

Status set_max_per_node(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::uint64_t number, parse_count(value));
  if (!spec.has_replicated() && !spec.has_replicated_job()) {
    return bad("goes with mode replicated or replicated-job only");
  }
  spec.mutable_task()->mutable_placement()->set_max_replicas_per_node(number);
  return ok();
}

Status set_name(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  spec.set_name(value);
  return ok();
}

Status set_runtime(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  spec.mutable_task()->set_runtime(value);
  return ok();
}

Status force_update(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const bool force, parse_switch(value));
  spec.mutable_task()->set_force_update(spec.task().force_update() + (force ? 1 : 0));
  return ok();
}

Resources& limits(ServiceSpec& spec) {
  return *spec.mutable_task()->mutable_resources()->mutable_limits();
}
Resources& reservations(ServiceSpec& spec) {
  return *spec.mutable_task()->mutable_resources()->mutable_reservations();
}

template <Resources& (*Of)(ServiceSpec&)>
Status set_cpus(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::int64_t cpus, model::parse_cpus(value));
  Of(spec).set_nano_cpus(cpus);
  return ok();
}

template <Resources& (*Of)(ServiceSpec&)>
Status set_memory(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::int64_t bytes, model::parse_bytes(value));
  Of(spec).set_memory_bytes(bytes);
  return ok();
}

Status set_pids(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::uint64_t pids, parse_count(value));
  limits(spec).set_pids(static_cast<std::int64_t>(pids));
  return ok();
}

Status set_memory_swap(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  std::int64_t bytes = -1;
  if (value != "-1") {
    SKEP_TRY_ASSIGN(bytes, model::parse_bytes(value));
  }
  spec.mutable_task()->mutable_resources()->set_memory_swap_bytes(bytes);
  return ok();
}

Status add_generic(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const auto pair, parse_pair(value));
  auto number = parse_count(pair.second);
  if (!number) {
    return bad(
        fmt::format("'{}' is not KIND=NUMBER: named generic resources cannot be asked for", value));
  }
  (*reservations(spec).mutable_generic())[pair.first] = static_cast<std::int64_t>(*number);
  return ok();
}
Status remove_generic(ServiceSpec& spec, const std::string& kind, const FlagWorld& /*world*/) {
  reservations(spec).mutable_generic()->erase(kind);
  return ok();
}

Status set_condition(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  using model::v1::RestartPolicy;
  if (value != "none" && value != "on-failure" && value != "any") {
    return bad(fmt::format("'{}' is not a restart condition: use none, on-failure or any", value));
  }
  spec.mutable_task()->mutable_restart()->set_condition(value == "none" ? RestartPolicy::NONE
                                                        : value == "on-failure"
                                                            ? RestartPolicy::ON_FAILURE
                                                            : RestartPolicy::ANY);
  return ok();
}

Result<std::int64_t> positive_duration(const std::string& value) {
  SKEP_TRY_ASSIGN(const Duration time, model::parse_duration(value));
  if (time.count() < 0) {
    return bad(fmt::format("'{}' is negative", value));
  }
  return time.count();
}

Status set_restart_delay(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::int64_t delay, positive_duration(value));
  spec.mutable_task()->mutable_restart()->set_delay(delay);
  return ok();
}
Status set_attempts(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::uint64_t attempts, parse_count(value));
  spec.mutable_task()->mutable_restart()->set_attempts_max(attempts);
  return ok();
}
Status set_window(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::int64_t window, positive_duration(value));
  spec.mutable_task()->mutable_restart()->set_window(window);
  return ok();
}

Status add_constraint(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  auto& list = *spec.mutable_task()->mutable_placement()->mutable_constraints();
  if (std::find(list.begin(), list.end(), value) == list.end()) {
    list.Add(std::string(value));
  }
  return ok();
}
Status remove_constraint(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  auto& list = *spec.mutable_task()->mutable_placement()->mutable_constraints();
  list.erase(std::remove(list.begin(), list.end(), value), list.end());
  return ok();
}

Result<std::string> parse_preference(const std::string& value) {
  SKEP_TRY_ASSIGN(const auto pair, parse_pair(value));
  if (pair.first != "spread" || pair.second.empty()) {
    return bad(
        fmt::format("'{}' is not a placement preference: use spread=node.labels.NAME", value));
  }
  return pair.second;
}
Status remove_preference(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::string by, parse_preference(value));
  auto& list = *spec.mutable_task()->mutable_placement()->mutable_preferences();
  list.erase(std::remove_if(list.begin(), list.end(),
                            [&](const auto& one) { return one.spread_by() == by; }),
             list.end());
  return ok();
}
Status add_preference(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::string by, parse_preference(value));
  spec.mutable_task()->mutable_placement()->add_preferences()->set_spread_by(by);
  return ok();
}

constexpr auto kBoth = FlagUse::kBoth;
constexpr auto kCreate = FlagUse::kCreate;
constexpr auto kUpdate = FlagUse::kUpdate;
constexpr auto kSet = EditPhase::kSet;
constexpr auto kAdd = EditPhase::kAdd;

constexpr std::array kDeploy{
    ServiceFlag{"--name", "string", "Name of the service", kCreate, kSet, false, set_name},
    ServiceFlag{"--mode", "string",
                "replicated, global, replicated-job or global-job (default replicated)", kCreate,
                EditPhase::kMode, false, set_mode},
    ServiceFlag{"--replicas", "uint", "Number of tasks", kBoth, kSet, false, set_replicas},
    ServiceFlag{"--max-concurrent", "uint", "Job tasks at the same time (default: replicas)", kBoth,
                kAdd, false, set_max_concurrent},
    ServiceFlag{"--replicas-max-per-node", "uint", "Most tasks per node (0: no limit)", kBoth, kSet,
                false, set_max_per_node},
    ServiceFlag{"--runtime", "string", "Runtime driver that runs the tasks (default oci)", kCreate,
                kSet, false, set_runtime},
    ServiceFlag{"--force", "", "Replace the tasks even if nothing changes", kUpdate, kSet, false,
                force_update},
    ServiceFlag{"--limit-cpu", "decimal", "CPUs a task may use at most", kBoth, kSet, false,
                set_cpus<limits>},
    ServiceFlag{"--limit-memory", "bytes", "Memory a task may use at most", kBoth, kSet, false,
                set_memory<limits>},
    ServiceFlag{"--limit-pids", "int", "Processes a task may have at most (0: no limit)", kBoth,
                kSet, false, set_pids},
    ServiceFlag{"--memory-swap", "bytes", "Memory and swap together (-1: no limit)", kBoth, kSet,
                false, set_memory_swap},
    ServiceFlag{"--reserve-cpu", "decimal", "CPUs a node must have free for a task", kBoth, kSet,
                false, set_cpus<reservations>},
    ServiceFlag{"--reserve-memory", "bytes", "Memory a node must have free for a task", kBoth, kSet,
                false, set_memory<reservations>},
    ServiceFlag{"--generic-resource", "list", "Reserve user-defined resources: KIND=NUMBER",
                kCreate, kAdd, true, add_generic},
    ServiceFlag{"--generic-resource-add", "list", "Add or change a reservation", kUpdate, kAdd,
                true, add_generic},
    ServiceFlag{"--generic-resource-rm", "list", "Remove a reservation", kUpdate,
                EditPhase::kRemove, true, remove_generic},
    ServiceFlag{"--restart-condition", "string",
                "When an ended task is replaced: none, on-failure, any (default any)", kBoth, kSet,
                false, set_condition},
    ServiceFlag{"--restart-delay", "duration", "Time before a task is replaced (default 5s)", kBoth,
                kSet, false, set_restart_delay},
    ServiceFlag{"--restart-max-attempts", "uint", "Most replacements (0: no limit)", kBoth, kSet,
                false, set_attempts},
    ServiceFlag{"--restart-window", "duration", "Time in which attempts are counted", kBoth, kSet,
                false, set_window},
    ServiceFlag{"--constraint", "list", "Which nodes may run tasks: node.labels.zone==b", kCreate,
                kAdd, true, add_constraint},
    ServiceFlag{"--constraint-add", "list", "Add a constraint", kUpdate, kAdd, true,
                add_constraint},
    ServiceFlag{"--constraint-rm", "list", "Remove a constraint", kUpdate, EditPhase::kRemove, true,
                remove_constraint},
    ServiceFlag{"--placement-pref", "pref",
                "Spread tasks over the values of a label: spread=node.labels.zone", kCreate, kAdd,
                true, add_preference},
    ServiceFlag{"--placement-pref-add", "pref", "Add a placement preference", kUpdate, kAdd, true,
                add_preference},
    ServiceFlag{"--placement-pref-rm", "pref", "Remove a placement preference", kUpdate,
                EditPhase::kRemove, true, remove_preference},
};

}  // namespace

std::span<const ServiceFlag> deploy_flags() {
  return kDeploy;
}

}  // namespace skep::ctl
