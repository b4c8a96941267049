#include "plugins/runtime/oci/container/log_rotation.h"

#include "skep/log.h"

namespace skep::oci {
namespace {

constexpr std::chrono::milliseconds kCalm{500};
constexpr std::chrono::milliseconds kBusy{50};

/// Over its limit although it was looked at a moment ago: written fast, so look again soon.
bool is_fast(std::uint64_t size, const LogLimits& limits) {
  return size > static_cast<std::uint64_t>(limits.size_max);
}

}  // namespace

LogRotation::LogRotation(Env& env, std::function<std::vector<WatchedLog>()> list)
    : env_(env), list_(std::move(list)) {}

LogRotation::~LogRotation() {
  if (timer_ != 0) {
    env_.loop.cancel_timer(timer_);
  }
}

void LogRotation::start() { arm(kCalm); }

void LogRotation::arm(Duration delay) {
  timer_ = env_.loop.run_after(delay, [this] {
    timer_ = 0;
    look();
  });
}

void LogRotation::look() {
  struct Round {
    std::vector<WatchedLog> logs;
    bool fast = false;
  };
  auto round = std::make_shared<Round>();
  round->logs = list_();
  if (round->logs.empty()) {
    return arm(kCalm);
  }
  const auto status = env_.workers.run(
      [round] {
        for (const WatchedLog& log : round->logs) {
          const auto size = rotate_log(log.directory, log.ctl_path, log.limits);
          if (!size) {
            SKEP_WARN("container log not rotated", {"log", log.directory},
                      {"cause", size.error().message});
            continue;
          }
          round->fast = round->fast || is_fast(*size, log.limits);
        }
      },
      [this, round, weak = std::weak_ptr<bool>(alive_)] {
        if (const auto alive = weak.lock()) {
          arm(round->fast ? Duration(kBusy) : Duration(kCalm));
        }
      });
  if (!status) {
    arm(kCalm);
  }
}

}  // namespace skep::oci
