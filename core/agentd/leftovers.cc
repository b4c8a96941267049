#include "core/agentd/leftovers.h"

#include <algorithm>

#include "skep/log.h"
#include "skep/network.methods.h"
#include "skep/runtime.methods.h"
#include "skep/volume.methods.h"

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr std::chrono::milliseconds kRecoverDeadline = 60s;
const std::vector<std::string_view> kKinds{"runtime", "network", "volume"};

bool is_runtime(const host::DriverState& driver) { return is_of_kind(driver.name, {"runtime"}); }

/// "Nothing is in use".
template <class M>
void recover_nothing(rpc::Caller& caller, const std::string& driver, std::function<void(Status)> done) {
  rpc::call<M>(caller, driver, {}, {.deadline = kRecoverDeadline}, [done](Result<typename M::Response> reply) {
    done(reply ? ok() : Status(std::move(reply).error()));
  });
}

}  // namespace

/// One time of telling all that is due.
struct Leftovers::Round {
  std::vector<host::DriverState> drivers;  // runtimes first: what their containers use goes after them
  std::vector<host::AbsentDriver> absent;
  bool failed = false;
  Done done;
};

Leftovers::Leftovers(Env& env, rpc::Caller& caller, DriverView view, node::SandboxMaker& sandboxes)
    : env_(env), caller_(caller), view_(std::move(view)), sandboxes_(sandboxes) {}

Leftovers::~Leftovers() {
  *alive_ = false;
  env_.loop.cancel_timer(again_timer_);
}

void Leftovers::remove(Done done) {
  pause([this, done = std::move(done)] {
    told_.clear();
    begin(done);
  });
}

void Leftovers::check() {
  if (phase_ == Phase::kIdle && !untold().empty()) {
    begin({});
  }
}

void Leftovers::pause(std::function<void()> then) {
  env_.loop.cancel_timer(std::exchange(again_timer_, 0));
  if (phase_ == Phase::kTelling) {
    return paused_.push_back(std::move(then));
  }
  phase_ = Phase::kIdle;
  ++round_;
  then();
}

std::vector<host::DriverState> Leftovers::untold() const {
  auto drivers = view_.running();
  std::erase_if(drivers, [this](const auto& driver) {
    const auto told = told_.find(driver.name);
    return !is_of_kind(driver.name, kKinds) || (told != told_.end() && told->second == driver.incarnation);
  });
  return drivers;
}

void Leftovers::begin(Done done) {
  phase_ = Phase::kWaiting;
  await_drivers(env_, view_, kKinds, kDriverLimit,
                [this, alive = alive_, number = ++round_, done = std::move(done)](std::vector<host::AbsentDriver> absent) {
                  if (*alive && number == round_) {
                    tell(std::make_shared<Round>(Round{{}, std::move(absent), false, done}));
                  }
                });
}

void Leftovers::tell(const std::shared_ptr<Round>& round) {
  phase_ = Phase::kTelling;
  round->drivers = untold();
  if (std::any_of(round->drivers.begin(), round->drivers.end(), is_runtime)) {
    // The others may have kept what the containers of this runtime still used.
    std::erase_if(told_, [](const auto& told) { return !is_of_kind(told.first, {"runtime"}); });
    round->drivers = untold();
  }
  std::stable_partition(round->drivers.begin(), round->drivers.end(), is_runtime);
  tell_one(round, 0);
}

void Leftovers::tell_one(const std::shared_ptr<Round>& round, std::size_t index) {
  if (index == round->drivers.size()) {
    return remove_sandboxes(round);
  }
  const std::string& driver = round->drivers[index].name;
  const auto done = [this, alive = alive_, round, index](const Status& status) {
    if (*alive) {
      answered(round, index, status);
    }
  };
  if (is_runtime(round->drivers[index])) {
    recover_nothing<runtime::v1::methods::Recover>(caller_, driver, done);
  } else if (is_of_kind(driver, {"network"})) {
    recover_nothing<network::v1::methods::Recover>(caller_, driver, done);
  } else {
    recover_nothing<volume::v1::methods::Recover>(caller_, driver, done);
  }
}

void Leftovers::answered(const std::shared_ptr<Round>& round, std::size_t index, const Status& status) {
  const host::DriverState& driver = round->drivers[index];
  // A driver without recover keeps nothing.
  if (status || status.error().code == Code::kUnimplemented) {
    told_[driver.name] = driver.incarnation;
  } else {
    round->failed = true;
    SKEP_WARN("driver not cleaned; it is told again", {"driver", driver.name}, {"cause", status.error().message});
  }
  tell_one(round, index + 1);
}

void Leftovers::remove_sandboxes(const std::shared_ptr<Round>& round) {
  sandboxes_.list([this, alive = alive_, round](const Result<std::vector<std::string>>& ids) {
    if (!*alive) {
      return;
    }
    if (!ids || ids->empty()) {
      return end(round);
    }
    auto open = std::make_shared<std::size_t>(ids->size());
    for (const std::string& id : *ids) {
      sandboxes_.remove(id, [this, alive, round, open](const Status& /*removed*/) {
        if (--*open == 0 && *alive) {
          end(round);
        }
      });
    }
  });
}

void Leftovers::end(const std::shared_ptr<Round>& round) {
  phase_ = Phase::kIdle;
  const auto paused = std::exchange(paused_, {});
  if (paused.empty()) {
    again_timer_ = env_.loop.run_after(round->failed ? kTellAgain : Duration(0), [this] {
      again_timer_ = 0;
      check();  // drivers may have come meanwhile
    });
  }
  if (round->done) {
    round->done(std::move(round->absent));
  }
  for (const auto& then : paused) {
    then();
  }
}

}  // namespace skep::agentd
