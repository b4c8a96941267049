#include <fmt/format.h>

#include <array>
#include <charconv>

#include "core/agentctl/flags/service_flags.h"
#include "core/model/defaults.h"
#include "core/model/units.h"

namespace skep::ctl {
namespace {

using model::v1::ServiceSpec;
using model::v1::UpdateConfig;

Error bad(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message)};
}

// Absent means Docker's defaults; the first flag writes them down.
UpdateConfig& update(ServiceSpec& spec) {
  if (!spec.has_update()) {
    *spec.mutable_update() = model::effective_update(spec);
  }
  return *spec.mutable_update();
}
UpdateConfig& rollback(ServiceSpec& spec) {
  if (!spec.has_rollback()) {
    *spec.mutable_rollback() = model::effective_rollback(spec);
  }
  return *spec.mutable_rollback();
}

using Of = UpdateConfig& (*)(ServiceSpec&);

template <Of Config>
Status set_parallelism(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::uint64_t number, parse_count(value));
  Config(spec).set_parallelism(number);
  return ok();
}

template <Of Config>
Status set_delay(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const Duration time, model::parse_duration(value));
  if (time.count() < 0) {
    return bad(fmt::format("'{}' is negative", value));
  }
  Config(spec).set_delay(time.count());
  return ok();
}

template <Of Config>
Status set_monitor(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const Duration time, model::parse_duration(value));
  if (time.count() <= 0) {
    return bad(fmt::format("'{}' is not longer than zero", value));
  }
  Config(spec).set_monitor(time.count());
  return ok();
}

template <Of Config, bool kMayRollBack>
Status set_action(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  if (value == "pause" || value == "continue") {
    Config(spec).set_failure_action(value == "pause" ? UpdateConfig::PAUSE
                                                     : UpdateConfig::CONTINUE);
  } else if (kMayRollBack && value == "rollback") {
    Config(spec).set_failure_action(UpdateConfig::ROLLBACK);
  } else {
    return bad(fmt::format("'{}' is not a failure action: use pause{}", value,
                           kMayRollBack ? ", continue or rollback" : " or continue"));
  }
  return ok();
}

template <Of Config>
Status set_ratio(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  float ratio = -1;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), ratio);
  if (error != std::errc{} || end != value.data() + value.size() ||
      !(ratio >= 0.0F && ratio <= 1.0F)) {
    return bad(fmt::format("'{}' is not a ratio between 0 and 1", value));
  }
  Config(spec).set_max_failure_ratio(ratio);
  return ok();
}

template <Of Config>
Status set_order(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  if (value != "start-first" && value != "stop-first") {
    return bad(fmt::format("'{}' is not an order: use stop-first or start-first", value));
  }
  Config(spec).set_order(value == "start-first" ? UpdateConfig::START_FIRST
                                                : UpdateConfig::STOP_FIRST);
  return ok();
}

constexpr auto kBoth = FlagUse::kBoth;
constexpr auto kSet = EditPhase::kSet;

constexpr std::array kPolicies{
    ServiceFlag{"--update-parallelism", "uint",
                "Tasks replaced at the same time (0: all; default 1)", kBoth, kSet, false,
                set_parallelism<update>},
    ServiceFlag{"--update-delay", "duration", "Time between replacements", kBoth, kSet, false,
                set_delay<update>},
    ServiceFlag{"--update-monitor", "duration",
                "Time after a start in which a failure counts (default 5s)", kBoth, kSet, false,
                set_monitor<update>},
    ServiceFlag{"--update-failure-action", "string", "pause, continue or rollback (default pause)",
                kBoth, kSet, false, set_action<update, true>},
    ServiceFlag{"--update-max-failure-ratio", "float", "Failures an update tolerates", kBoth, kSet,
                false, set_ratio<update>},
    ServiceFlag{"--update-order", "string", "stop-first or start-first (default stop-first)", kBoth,
                kSet, false, set_order<update>},
    ServiceFlag{"--rollback-parallelism", "uint",
                "Tasks rolled back at the same time (0: all; default 1)", kBoth, kSet, false,
                set_parallelism<rollback>},
    ServiceFlag{"--rollback-delay", "duration", "Time between rollbacks of tasks", kBoth, kSet,
                false, set_delay<rollback>},
    ServiceFlag{"--rollback-monitor", "duration",
                "Time after a rollback in which a failure counts (default 5s)", kBoth, kSet, false,
                set_monitor<rollback>},
    ServiceFlag{"--rollback-failure-action", "string", "pause or continue (default pause)", kBoth,
                kSet, false, set_action<rollback, false>},
    ServiceFlag{"--rollback-max-failure-ratio", "float", "Failures a rollback tolerates", kBoth,
                kSet, false, set_ratio<rollback>},
    ServiceFlag{"--rollback-order", "string", "stop-first or start-first (default stop-first)",
                kBoth, kSet, false, set_order<rollback>},
};

}  // namespace

std::span<const ServiceFlag> update_policy_flags() {
  return kPolicies;
}

}  // namespace skep::ctl
