#include "core/node/driver_watch.h"

#include <chrono>

#include "skep/log.h"
#include "skep/network.methods.h"
#include "skep/runtime.methods.h"
#include "skep/volume.methods.h"

namespace skep::node {
namespace {

constexpr std::chrono::seconds kRecoverDeadline{30};
constexpr std::chrono::milliseconds kRetryAfter{500};
/// How long volumes and networks wait for the first list of a runtime: when node.db was lost, only
/// containers tell what is in use.
constexpr std::chrono::seconds kFirstListWithin{10};

/// "volume/local" -> {"volume", "local"}
std::pair<std::string_view, std::string> split(const std::string& name) {
  const auto slash = name.find('/');
  return {std::string_view(name).substr(0, slash),
          slash == std::string::npos ? std::string() : name.substr(slash + 1)};
}

bool needs_recover(std::string_view kind) {
  return kind == "volume" || kind == "network" || kind == "runtime";
}

}  // namespace

DriverWatch::DriverWatch(Env& env, rpc::Caller& caller, DriverDirectory& directory, Hooks hooks)
    : env_(env),
      caller_(caller),
      directory_(directory),
      hooks_(std::move(hooks)),
      started_at_(env.loop.now()) {
  first_list_timer_ = env_.loop.run_after(kFirstListWithin, [this] {
    first_list_timer_ = 0;
    check();
  });
}

DriverWatch::~DriverWatch() {
  *alive_ = false;
  env_.loop.cancel_timer(first_list_timer_);
}

bool DriverWatch::knows_uses() const {
  if (env_.loop.now() - started_at_ >= kFirstListWithin) {
    return true;
  }
  bool some = false;
  for (const auto& [name, driver] : drivers_) {
    if (split(name).first == "runtime") {
      some = true;
      if (!listed_.contains(name)) {
        return false;
      }
    }
  }
  return some;
}

void DriverWatch::check() {
  std::map<std::string, Driver> known = std::exchange(drivers_, {});
  bool changed = false;
  for (const auto& state : directory_.drivers()) {
    auto& driver = drivers_[state.name];
    if (const auto old = known.find(state.name);
        old != known.end() && old->second.incarnation == state.incarnation) {
      driver = old->second;
      continue;
    }
    driver.incarnation = state.incarnation;
    driver.ready = !needs_recover(split(state.name).first);
    changed = true;
  }
  changed = changed || known.size() != drivers_.size();
  std::vector<std::string> due;
  for (const auto& [name, driver] : drivers_) {
    if (!driver.ready && !driver.recovering &&
        (split(name).first == "runtime" || knows_uses())) {
      due.push_back(name);
    }
  }
  for (const auto& name : due) {
    recover(name);
  }
  if (changed) {
    hooks_.changed();
  }
}

DriverWatch::Availability DriverWatch::availability(const std::string& driver) const {
  const auto it = drivers_.find(driver);
  if (it == drivers_.end()) {
    return Availability::kMissing;
  }
  return it->second.ready ? Availability::kReady : Availability::kRecovering;
}

std::vector<std::string> DriverWatch::ready(std::string_view kind) const {
  std::vector<std::string> result;
  for (const auto& [name, driver] : drivers_) {
    if (const auto parts = split(name); driver.ready && parts.first == kind) {
      result.push_back(parts.second);
    }
  }
  return result;
}

std::vector<std::string> DriverWatch::names() const {
  std::vector<std::string> result;
  for (const auto& [name, driver] : drivers_) {
    result.push_back(name);
  }
  return result;
}

bool DriverWatch::is_current(const std::string& name, std::uint64_t attempt) const {
  const auto it = drivers_.find(name);
  return it != drivers_.end() && it->second.attempt == attempt;
}

void DriverWatch::recover(const std::string& name) {
  auto& entry = drivers_[name];
  entry.recovering = true;
  entry.attempt = ++attempts_;
  const auto attempt = entry.attempt;
  const auto [kind, driver] = split(name);
  const rpc::CallOptions options{.deadline = kRecoverDeadline};
  const auto answered = [this, alive = alive_, name, attempt](auto reply) {
    if (*alive) {
      recovered(name, attempt, reply ? ok() : Status(std::move(reply).error()));
    }
  };
  if (kind == "volume") {
    rpc::call<volume::v1::methods::Recover>(caller_, name, hooks_.volumes_in_use(driver), options,
                                            answered);
  } else if (kind == "network") {
    rpc::call<network::v1::methods::Recover>(caller_, name, hooks_.endpoints_in_use(driver),
                                             options, answered);
  } else {
    recover_runtime(name, driver, attempt);
  }
}

void DriverWatch::recover_runtime(const std::string& name, const std::string& driver,
                                  std::uint64_t attempt) {
  namespace methods = runtime::v1::methods;
  const rpc::CallOptions options{.deadline = kRecoverDeadline};
  rpc::call<methods::List>(
      caller_, name, {}, options,
      [=, this, alive = alive_](Result<runtime::v1::ListResponse> listed) {
        if (!*alive || !is_current(name, attempt)) {
          return;
        }
        if (!listed) {
          return recovered(name, attempt, std::move(listed).error());
        }
        // First adopt, then recover: the driver removes what it is not told to keep.
        runtime::v1::RecoverRequest request;
        for (auto& id : hooks_.adopt(driver, listed->containers())) {
          request.add_container_ids(std::move(id));
        }
        if (listed_.insert(name).second) {
          check();
        }
        rpc::call<methods::Recover>(
            caller_, name, request, options,
            [=, this](Result<runtime::v1::RecoverResponse> found) {
              if (!*alive || !is_current(name, attempt)) {
                return;
              }
              if (found) {
                hooks_.containers_recovered(driver, found->containers());
              }
              recovered(name, attempt, found ? ok() : Status(std::move(found).error()));
            });
      });
}

void DriverWatch::recovered(const std::string& name, std::uint64_t attempt, const Status& status) {
  if (!is_current(name, attempt)) {
    return;  // it restarted meanwhile
  }
  auto& driver = drivers_[name];
  driver.recovering = false;
  // A driver without recover has nothing to take up again.
  driver.ready = status || status.error().code == Code::kUnimplemented;
  if (driver.ready) {
    return hooks_.changed();
  }
  SKEP_WARN("driver could not recover, trying again", {"driver", name},
            {"cause", status.error().message});
  env_.loop.run_after(kRetryAfter, [this, alive = alive_] {
    if (*alive) {
      check();
    }
  });
}

}  // namespace skep::node
