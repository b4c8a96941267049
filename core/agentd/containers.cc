#include "core/agentd/containers.h"

#include <algorithm>
#include <memory>

#include "skep/runtime.methods.h"

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using host::AbsentDriver;

constexpr std::chrono::milliseconds kListDeadline = 10s;
constexpr Duration kAskAgain = 200ms;

Error not_ready(const std::string& why) {
  return Error{Code::kUnavailable, why, "RUNTIME_NOT_READY"};
}

/// Why a list without the containers of `absent` would be a wrong one.
std::optional<Error> what_is_missing(const std::vector<AbsentDriver>& absent, bool some_run) {
  for (const AbsentDriver& driver : absent) {
    if (driver.outlook != AbsentDriver::Outlook::kNone || !some_run) {
      return not_ready("the containers of '" + driver.name + "' are not known now: " + driver.why +
                       "; try again, or do without it: `agentctl plugin disable " + driver.plugin + "`");
    }
  }
  return std::nullopt;
}

}  // namespace

Containers::Containers(Env& env, rpc::Caller& caller, DriverView view)
    : env_(env), caller_(caller), view_(std::move(view)) {}

void Containers::gather(std::function<void(Gathered&)> done) {
  auto runtimes = view_.running();
  std::erase_if(runtimes, [](const auto& driver) { return !is_of_kind(driver.name, {"runtime"}); });
  auto gathered = std::make_shared<Gathered>();
  if (runtimes.empty()) {
    return done(*gathered);
  }
  auto open = std::make_shared<std::size_t>(runtimes.size());
  for (const auto& driver : runtimes) {
    rpc::call<runtime::v1::methods::List>(
        caller_, driver.name, {}, {.deadline = kListDeadline},
        [gathered, open, done, runtime = driver.name](Result<runtime::v1::ListResponse> reply) {
          if (reply) {
            for (auto& container : *reply->mutable_containers()) {
              if (container.runtime().empty()) {
                container.set_runtime(runtime.substr(runtime.find('/') + 1));
              }
              *gathered->containers.add_containers() = std::move(container);
            }
          } else {
            gathered->warnings.push_back("driver '" + runtime + "' does not list its containers: " +
                                         reply.error().message);
          }
          if (--*open == 0) {
            done(*gathered);
          }
        });
  }
}

void Containers::list(bool all, rpc::Reply<agent::v1::ListContainersResponse> reply) {
  list_until(env_.clock.now() + kRuntimeLimit, all, std::move(reply));
}

void Containers::list_until(TimePoint deadline, bool all, rpc::Reply<agent::v1::ListContainersResponse> reply) {
  const auto list = [this, deadline, all, reply](const std::vector<AbsentDriver>& absent) {
    const auto running = view_.running();
    const bool some_run = std::any_of(running.begin(), running.end(), [](const auto& driver) {
      return is_of_kind(driver.name, {"runtime"});
    });
    if (auto missing = what_is_missing(absent, some_run)) {
      return reply(*std::move(missing));
    }
    gather([this, deadline, all, reply](Gathered& gathered) {
      if (!gathered.warnings.empty() && env_.clock.now() < deadline) {
        env_.loop.run_after(kAskAgain, [this, deadline, all, reply] { list_until(deadline, all, reply); });
        return;
      }
      if (!gathered.warnings.empty()) {
        return reply(not_ready(gathered.warnings.front() + "; try again"));
      }
      auto& found = *gathered.containers.mutable_containers();
      found.erase(std::remove_if(found.begin(), found.end(),
                                 [all](const auto& container) {
                                   return !all && container.state() != runtime::v1::CONTAINER_STATE_RUNNING;
                                 }),
                  found.end());
      reply(std::move(gathered.containers));
    });
  };
  await_drivers(env_, view_, {"runtime"}, deadline - env_.clock.now(), list);
}

}  // namespace skep::agentd
