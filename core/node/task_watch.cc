// What TaskManager watches while a container runs: its end and its health.

#include <chrono>

#include "core/node/task_manager.h"
#include "skep/log.h"
#include "skep/runtime.methods.h"

namespace skep::node {
namespace {

constexpr std::chrono::seconds kWaitRetry{1};

}  // namespace

void TaskManager::end_wait(Entry& entry) {
  if (entry.wait != 0) {
    caller_.cancel(std::exchange(entry.wait, 0));
  }
}

void TaskManager::watch_exit(const std::string& id, Entry& entry) {
  if (!watches_exit(entry.record)) {
    return end_wait(entry);
  }
  const std::string driver = "runtime/" + entry.record.runtime();
  if (entry.wait != 0 || entry.wait_paused ||
      drivers_.availability(driver) != DriverWatch::Availability::kReady) {
    return;
  }
  runtime::v1::WaitRequest request;
  request.set_container_id(entry.record.container_id());
  entry.wait = rpc::call<runtime::v1::methods::Wait>(
      caller_, driver, request, {.deadline = std::chrono::milliseconds(0)},
      [this, id, alive = alive_](Result<runtime::v1::WaitResponse> reply) {
        if (*alive) {
          on_wait(id, std::move(reply));
        }
      });
}

void TaskManager::on_wait(const std::string& id, Result<runtime::v1::WaitResponse> reply) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) {
    return;
  }
  auto& entry = it->second;
  entry.wait = 0;
  if (!reply && reply.error().code != Code::kNotFound) {
    entry.wait_paused = true;
    env_.loop.run_after(kWaitRetry, [this, id, alive = alive_] {
      if (!*alive) {
        return;
      }
      if (const auto again = entries_.find(id); again != entries_.end()) {
        again->second.wait_paused = false;
        pump(id);
      }
    });
    return;
  }
  entry.touched = env_.loop.now();
  entry.dirty = true;
  if (reply) {
    apply_exit(entry.record, reply->exit());
    SKEP_DEBUG("container ended", {"task", id}, {"exit_code", reply->exit().exit_code()});
  } else {
    apply_container(entry.record, nullptr, env_.clock.wall_now());
  }
  if (entry.in_flight && entry.in_flight->kind == StepKind::kStopContainer) {
    entry.in_flight.reset();  // its answer could only say the same
    std::exchange(entry.abandon, nullptr)();
  }
  pump(id);
}

void TaskManager::watch_health(const std::string& id, Entry& entry) {
  const bool wanted = watches_exit(entry.record) && !wants_end(entry.record) &&
                      entry.record.health_check().test_size() > 0;
  if (!wanted) {
    entry.health.reset();
    return;
  }
  if (entry.health) {
    return;
  }
  entry.health = std::make_unique<HealthProbe>(
      env_, caller_, entry.record.runtime(), entry.record.container_id(),
      HealthMonitor(entry.record.health_check(), entry.record.healthy_once(), env_.loop.now()),
      [this, id](const std::string& why) {
        if (const auto it = entries_.find(id); it != entries_.end()) {
          apply_health(it->second.record, why);
          it->second.dirty = true;
          pump(id);
        }
      });
}

}  // namespace skep::node
