#include <fmt/format.h>

#include <array>
#include <limits>

#include "core/agentctl/flags/service_flags.h"
#include "core/agentctl/text.h"
#include "core/model/units.h"

namespace skep::ctl {
namespace {

using model::v1::ContainerSpec;
using model::v1::ServiceSpec;

ContainerSpec& container(ServiceSpec& spec) {
  return *spec.mutable_task()->mutable_container();
}

template <void (ContainerSpec::*Set)(bool)>
Status set_switch(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const bool on, parse_switch(value));
  (container(spec).*Set)(on);
  return ok();
}

template <std::string* (ContainerSpec::*Field)()>
Status set_text(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  *(container(spec).*Field)() = value;
  return ok();
}

template <google::protobuf::RepeatedPtrField<std::string>* (ContainerSpec::*Field)()>
Status set_words(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::vector<std::string> words, split_shell_words(value));
  (container(spec).*Field)()->Assign(words.begin(), words.end());
  return ok();
}

Status set_stop_grace(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const Duration grace, model::parse_duration(value));
  if (grace.count() < 0) {
    return Error{Code::kInvalidArgument, fmt::format("'{}' is negative", value)};
  }
  container(spec).set_stop_grace(grace.count());
  return ok();
}

Status set_oom_score(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  const bool negative = value.starts_with('-');
  SKEP_TRY_ASSIGN(const std::uint64_t score, parse_count(value.substr(negative ? 1 : 0)));
  if (score > 1000) {
    return Error{Code::kInvalidArgument,
                 fmt::format("'{}' is out of range: use -1000 to 1000", value)};
  }
  container(spec).set_oom_score_adj(static_cast<std::int32_t>(score) * (negative ? -1 : 1));
  return ok();
}

Status set_image(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY(check_image(value));
  container(spec).set_image(value);
  return ok();
}

Status set_log_driver(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  spec.mutable_task()->mutable_log_driver()->set_name(value);
  return ok();
}

Status add_log_option(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(auto pair, parse_pair(value));
  (*spec.mutable_task()->mutable_log_driver()->mutable_options())[pair.first] = pair.second;
  return ok();
}

Status set_health(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  auto& test = *container(spec).mutable_health_check()->mutable_test();
  test.Clear();
  if (!value.empty()) {
    test.Add("CMD-SHELL");
    test.Add(std::string(value));
  }
  return ok();
}

Status set_no_health(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const bool none, parse_switch(value));
  if (!none) {
    return ok();
  }
  if (container(spec).has_health_check() && container(spec).health_check().ByteSizeLong() > 0) {
    return Error{Code::kInvalidArgument,
                 "conflicts with the --health-* flags: give one or the other"};
  }
  container(spec).mutable_health_check()->add_test("NONE");
  return ok();
}

template <void (model::v1::HealthCheck::*Set)(std::int64_t)>
Status set_health_time(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const Duration time, model::parse_duration(value));
  if (time.count() != 0 && time < std::chrono::milliseconds(1)) {
    return Error{Code::kInvalidArgument, fmt::format("'{}' is shorter than 1ms", value)};
  }
  (container(spec).mutable_health_check()->*Set)(time.count());
  return ok();
}

Status set_health_retries(ServiceSpec& spec, const std::string& value, const FlagWorld& /*world*/) {
  SKEP_TRY_ASSIGN(const std::uint64_t retries, parse_count(value));
  if (retries > std::numeric_limits<std::int32_t>::max()) {
    return Error{Code::kInvalidArgument, fmt::format("'{}' is too large", value)};
  }
  container(spec).mutable_health_check()->set_retries(static_cast<std::uint32_t>(retries));
  return ok();
}

using model::v1::HealthCheck;
constexpr auto kSet = EditPhase::kSet;
constexpr auto kBoth = FlagUse::kBoth;

constexpr std::array kContainer{
    ServiceFlag{"--image", "string", "Image of the service", FlagUse::kUpdate, kSet, false,
                set_image},
    ServiceFlag{"--args", "command", "Arguments of the command", FlagUse::kUpdate, kSet, false,
                set_words<&ContainerSpec::mutable_args>},
    ServiceFlag{"--entrypoint", "command", "Replaces the entrypoint of the image", kBoth, kSet,
                false, set_words<&ContainerSpec::mutable_command>},
    ServiceFlag{"--hostname", "string", "Host name inside the containers", kBoth, kSet, false,
                set_text<&ContainerSpec::mutable_hostname>},
    ServiceFlag{"--workdir,-w", "string", "Working directory", kBoth, kSet, false,
                set_text<&ContainerSpec::mutable_directory>},
    ServiceFlag{"--user,-u", "string", "User or uid, with group or gid (NAME[:GROUP])", kBoth, kSet,
                false, set_text<&ContainerSpec::mutable_user>},
    ServiceFlag{"--stop-signal", "string", "Signal that stops a container", kBoth, kSet, false,
                set_text<&ContainerSpec::mutable_stop_signal>},
    ServiceFlag{"--stop-grace-period", "duration",
                "Time before a stopping container is killed (default 10s)", kBoth, kSet, false,
                set_stop_grace},
    ServiceFlag{"--tty,-t", "", "Give the containers a terminal", kBoth, kSet, false,
                set_switch<&ContainerSpec::set_tty>},
    ServiceFlag{"--read-only", "", "Root file system is read only", kBoth, kSet, false,
                set_switch<&ContainerSpec::set_read_only>},
    ServiceFlag{"--init", "", "Run an init that forwards signals and reaps", kBoth, kSet, false,
                set_switch<&ContainerSpec::set_init>},
    ServiceFlag{"--oom-score-adj", "int", "Preference of the kernel's OOM killer, -1000 to 1000",
                kBoth, kSet, false, set_oom_score},
    ServiceFlag{"--log-driver", "string", "Logging driver", kBoth, kSet, false, set_log_driver},
    ServiceFlag{"--log-opt", "list", "Option of the logging driver", kBoth, kSet, true,
                add_log_option},
};

constexpr std::array kHealth{
    ServiceFlag{"--health-cmd", "string", "Command that tells whether a container is healthy",
                kBoth, kSet, false, set_health},
    ServiceFlag{"--health-interval", "duration", "Time between checks", kBoth, kSet, false,
                set_health_time<&HealthCheck::set_interval>},
    ServiceFlag{"--health-timeout", "duration", "Time one check may take", kBoth, kSet, false,
                set_health_time<&HealthCheck::set_timeout>},
    ServiceFlag{"--health-start-period", "duration", "Time to start in which failures do not count",
                kBoth, kSet, false, set_health_time<&HealthCheck::set_start_period>},
    ServiceFlag{"--health-start-interval", "duration",
                "Time between checks during the start period", kBoth, kSet, false,
                set_health_time<&HealthCheck::set_start_interval>},
    ServiceFlag{"--health-retries", "int", "Failures in a row that make a container unhealthy",
                kBoth, kSet, false, set_health_retries},
    ServiceFlag{"--no-healthcheck", "", "No health check, not even the image's", kBoth,
                EditPhase::kAdd, false, set_no_health},
};

}  // namespace

std::span<const ServiceFlag> container_flags() {
  return kContainer;
}
std::span<const ServiceFlag> health_flags() {
  return kHealth;
}

}  // namespace skep::ctl
