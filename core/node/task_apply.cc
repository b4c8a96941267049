#include <algorithm>
#include <chrono>

#include "core/model/task_state.h"
#include "core/node/record.h"
#include "core/node/task_plan.h"
#include "core/node/task_runner.h"

namespace skep::node {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kRunAttemptsMax = 8;
constexpr Duration kRunRetryFor = seconds(60);
constexpr Duration kBackOffStart = milliseconds(200);
constexpr Duration kRunBackOffMax = seconds(5);
constexpr Duration kCleanUpBackOffMax = seconds(10);
/// A removed task is forgotten after that long; the driver's next recover() clears what is left.
constexpr Duration kCleanUpFor = hours(1);

/// The progress a step works on; nullptr for steps without.
struct Slot {
  v1::Progress (*get)(const v1::TaskRecord&, int) = nullptr;
  void (*set)(v1::TaskRecord&, int, v1::Progress) = nullptr;
};

#define SKEP_RECORD_SLOT(field)                                                   \
  Slot {                                                                          \
    [](const v1::TaskRecord& record, int) { return record.field(); },             \
        [](v1::TaskRecord& record, int, v1::Progress p) { record.set_##field(p); } \
  }
#define SKEP_ITEM_SLOT(list, field)                                                         \
  Slot {                                                                                    \
    [](const v1::TaskRecord& record, int i) { return record.list(i).field(); },             \
        [](v1::TaskRecord& record, int i, v1::Progress p) {                                 \
          record.mutable_##list(i)->set_##field(p);                                         \
        }                                                                                   \
  }

Slot slot_of(StepKind kind) {
  switch (kind) {
    case StepKind::kCheckBind:
    case StepKind::kCreateVolume:
    case StepKind::kRemoveVolume:
      return SKEP_ITEM_SLOT(volumes, created);
    case StepKind::kMountVolume:
    case StepKind::kUnmountVolume:
      return SKEP_ITEM_SLOT(volumes, mounted);
    case StepKind::kMakeNetwork:
    case StepKind::kDeleteNetwork:
      return SKEP_ITEM_SLOT(endpoints, network);
    case StepKind::kCreateEndpoint:
    case StepKind::kDeleteEndpoint:
      return SKEP_ITEM_SLOT(endpoints, endpoint);
    case StepKind::kJoinEndpoint:
    case StepKind::kLeaveEndpoint:
      return SKEP_ITEM_SLOT(endpoints, joined);
    case StepKind::kPublishPorts:
    case StepKind::kUnpublishPorts:
      return SKEP_ITEM_SLOT(endpoints, published);
    case StepKind::kMakeSandbox:
    case StepKind::kRemoveSandbox:
      return SKEP_RECORD_SLOT(sandbox);
    case StepKind::kWriteFiles:
    case StepKind::kRemoveFiles:
      return SKEP_RECORD_SLOT(files);
    case StepKind::kCreateContainer:
    case StepKind::kRemoveContainer:
      return SKEP_RECORD_SLOT(container);
    case StepKind::kStartContainer:
      return SKEP_RECORD_SLOT(started);
    case StepKind::kInspectImage:
    case StepKind::kPullImage:
    case StepKind::kInspectContainer:
    case StepKind::kStopContainer:
    case StepKind::kForget:
      return {};
  }
  SKEP_UNREACHABLE();
}
#undef SKEP_RECORD_SLOT
#undef SKEP_ITEM_SLOT

Duration back_off(int attempts, Duration longest) {
  Duration delay = kBackOffStart;
  for (int i = 1; i < attempts && delay < longest; ++i) {
    delay *= 2;
  }
  return std::min(delay, longest);
}

TaskView::Retry& note_failure(TaskView& view, const Step& step, Duration longest, TimePoint now) {
  auto& retry = view.retries[step];
  if (retry.attempts == 0) {
    retry.first = now;
  }
  ++retry.attempts;
  retry.at = now + back_off(retry.attempts, longest);
  return retry;
}

void end_before_start(v1::TaskRecord& record, const Step& step, const Error& error, WallTime wall) {
  auto& status = *record.mutable_status();
  const bool start = step.kind == StepKind::kStartContainer;
  status.set_state(start ? model::v1::TASK_STATE_FAILED : model::v1::TASK_STATE_REJECTED);
  status.set_message(start ? "starting" : "preparing");
  status.set_error(start ? "starting container failed: " + error.message : error.message);
  status.set_retryable(error.retryable());
  status.set_timestamp(wall);
}

void fail_run_step(v1::TaskRecord& record, TaskView& view, const Step& step, const Error& error,
                   TimePoint now, WallTime wall) {
  const auto& retry = note_failure(view, step, kRunBackOffMax, now);
  const bool again = error.retryable() && retry.attempts < kRunAttemptsMax &&
                     now - retry.first < kRunRetryFor;
  if (!again && !wants_end(record)) {
    end_before_start(record, step, error, wall);
  }
}

void fail_clean_up_step(v1::TaskRecord& record, TaskView& view, const Step& step, TimePoint now) {
  const auto& retry = note_failure(view, step, kCleanUpBackOffMax, now);
  const Slot slot = slot_of(step.kind);
  if (record.removed() && slot.set != nullptr && now - retry.first > kCleanUpFor) {
    slot.set(record, step.index, v1::PROGRESS_RELEASED);
  }
}

void apply_image(v1::TaskRecord& record, TaskView& view, const Step& step,
                 const StepOutcome& outcome, const RunnerContext& context, TimePoint now,
                 WallTime wall) {
  const bool no_images = !outcome.status && outcome.status.error().code == Code::kUnimplemented;
  if (!outcome.status && !no_images) {
    if (step.kind == StepKind::kInspectImage && outcome.status.error().code == Code::kNotFound) {
      view.pull_needed = true;
      return;
    }
    return fail_run_step(record, view, step, outcome.status.error(), now, wall);
  }
  const auto planned = plan_task(record, outcome.image ? &*outcome.image : nullptr, context.config,
                                 context.node);
  if (!planned) {
    return end_before_start(record, step, planned.error(), wall);
  }
  // The registry credential has done its work.
  record.mutable_task()->mutable_spec()->mutable_container()->clear_registry_auth();
  record.set_credentials_missing(false);
}

void take_facts(v1::TaskRecord& record, const Step& step, const StepOutcome& outcome) {
  switch (step.kind) {
    case StepKind::kMountVolume:
      record.mutable_volumes(step.index)->set_mountpoint(outcome.path);
      return;
    case StepKind::kMakeSandbox:
      record.set_sandbox_path(outcome.path);
      return;
    case StepKind::kCreateEndpoint: {
      auto& use = *record.mutable_endpoints(step.index);
      use.mutable_addresses()->Assign(outcome.addresses.begin(), outcome.addresses.end());
      return;
    }
    case StepKind::kPublishPorts: {
      auto& ports = *record.mutable_status()->mutable_ports()->mutable_ports();
      ports.Assign(outcome.ports.begin(), outcome.ports.end());
      return;
    }
    case StepKind::kCreateContainer:
      record.mutable_status()->mutable_container()->set_container_id(record.container_id());
      return;
    case StepKind::kStartContainer:
      record.mutable_status()->mutable_container()->set_pid(outcome.pid);
      return;
    case StepKind::kInspectImage:
    case StepKind::kPullImage:
    case StepKind::kCheckBind:
    case StepKind::kCreateVolume:
    case StepKind::kMakeNetwork:
    case StepKind::kJoinEndpoint:
    case StepKind::kWriteFiles:
    case StepKind::kInspectContainer:
    case StepKind::kStopContainer:
    case StepKind::kRemoveContainer:
    case StepKind::kUnpublishPorts:
    case StepKind::kLeaveEndpoint:
    case StepKind::kDeleteEndpoint:
    case StepKind::kRemoveSandbox:
    case StepKind::kUnmountVolume:
    case StepKind::kDeleteNetwork:
    case StepKind::kRemoveVolume:
    case StepKind::kRemoveFiles:
    case StepKind::kForget:
      return;
  }
  SKEP_UNREACHABLE();
}

/// The container is not where it was left, or its driver does not know it.
bool gone(const StepOutcome& outcome) {
  return !outcome.status && outcome.status.error().code == Code::kNotFound;
}

void apply_stop(v1::TaskRecord& record, TaskView& view, const Step& step,
                const StepOutcome& outcome, TimePoint now, WallTime wall) {
  if (outcome.status) {
    apply_exit(record, outcome.exit.value_or(runtime::v1::ExitStatus()));
  } else if (gone(outcome)) {
    apply_container(record, nullptr, wall);
  } else {
    note_failure(view, step, kRunBackOffMax, now);
  }
}

void apply_inspect(v1::TaskRecord& record, TaskView& view, const Step& step,
                   const StepOutcome& outcome, TimePoint now, WallTime wall) {
  if (outcome.status && outcome.container) {
    view.retries.erase(step);
    apply_container(record, &*outcome.container, wall);
  } else if (gone(outcome)) {
    apply_container(record, nullptr, wall);
  } else {
    note_failure(view, step, kRunBackOffMax, now);
  }
}

}  // namespace

bool is_run_step(StepKind kind) { return kind <= StepKind::kStartContainer; }

std::string_view step_name(StepKind kind) {
  static constexpr std::string_view kNames[] = {
      "inspect-image",   "pull-image",      "check-bind",        "create-volume",
      "mount-volume",    "make-network",    "make-sandbox",      "create-endpoint",
      "join-endpoint",   "publish-ports",   "write-files",       "create-container",
      "start-container", "inspect-container", "stop-container",  "remove-container",
      "unpublish-ports", "leave-endpoint",  "delete-endpoint",   "remove-sandbox",
      "unmount-volume",  "delete-network",  "remove-volume",     "remove-files",
      "forget"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(StepKind::kForget) + 1);
  return kNames[static_cast<std::size_t>(kind)];
}

bool mark_attempted(v1::TaskRecord& record, const Step& step) {
  const Slot slot = slot_of(step.kind);
  if (!is_run_step(step.kind) || slot.get == nullptr ||
      slot.get(record, step.index) == v1::PROGRESS_ATTEMPTED) {
    return false;
  }
  slot.set(record, step.index, v1::PROGRESS_ATTEMPTED);
  return true;
}

void apply(v1::TaskRecord& record, TaskView& view, const Step& step, const StepOutcome& outcome,
           const RunnerContext& context, TimePoint now, WallTime wall) {
  if (step.kind == StepKind::kInspectImage || step.kind == StepKind::kPullImage) {
    return apply_image(record, view, step, outcome, context, now, wall);
  }
  if (step.kind == StepKind::kStopContainer) {
    return apply_stop(record, view, step, outcome, now, wall);
  }
  if (step.kind == StepKind::kInspectContainer) {
    return apply_inspect(record, view, step, outcome, now, wall);
  }
  const bool run = is_run_step(step.kind);
  if (!outcome.status && (run || !gone(outcome))) {
    return run ? fail_run_step(record, view, step, outcome.status.error(), now, wall)
               : fail_clean_up_step(record, view, step, now);
  }
  view.retries.erase(step);
  if (const Slot slot = slot_of(step.kind); slot.set != nullptr) {
    slot.set(record, step.index, run ? v1::PROGRESS_DONE : v1::PROGRESS_RELEASED);
  }
  take_facts(record, step, outcome);
}

void apply_exit(v1::TaskRecord& record, const runtime::v1::ExitStatus& exit) {
  if (record.exited()) {
    return;
  }
  record.set_exited(true);
  record.set_started(v1::PROGRESS_DONE);
  *record.mutable_exit() = exit;
  auto& container = *record.mutable_status()->mutable_container();
  container.set_exit_code(exit.exit_code());
  container.set_oom_killed(exit.oom_killed());
}

void apply_container(v1::TaskRecord& record, const runtime::v1::ContainerInfo* info,
                     WallTime now) {
  if (info == nullptr) {
    if (record.started() == v1::PROGRESS_NONE) {
      // Never started: making it again is safe.
      record.set_container(v1::PROGRESS_NONE);
      return;
    }
    runtime::v1::ExitStatus unknown;
    unknown.set_exit_code(-1);
    unknown.set_finished_at(now);
    apply_exit(record, unknown);
    record.set_container(v1::PROGRESS_RELEASED);
    return;
  }
  record.set_container(v1::PROGRESS_DONE);
  record.mutable_status()->mutable_container()->set_container_id(info->container_id());
  if (info->state() == runtime::v1::CONTAINER_STATE_EXITED) {
    apply_exit(record, info->exit());
  } else if (info->state() == runtime::v1::CONTAINER_STATE_RUNNING) {
    record.set_started(v1::PROGRESS_DONE);
    record.set_exited(false);  // it was thought dead: if its task is over, it is stopped now
    record.mutable_status()->mutable_container()->set_pid(info->pid());
  } else {
    record.set_started(v1::PROGRESS_NONE);
  }
}

void apply_health(v1::TaskRecord& record, const std::string& unhealthy_why) {
  if (unhealthy_why.empty()) {
    record.set_healthy_once(true);
  } else if (!wants_end(record)) {
    record.set_failure("task: unhealthy container: " + unhealthy_why);
  }
}

bool apply_assignment(v1::TaskRecord& record, const model::v1::Task& task) {
  auto& known = *record.mutable_task();
  const auto told = task.status().state();
  const auto here = record.status().state();
  const bool behind = told > here || (record.adopted() && told == here);
  if (behind) {
    *record.mutable_status() = task.status();  // told before a write here was lost
  }
  if (task.desired_state() > known.desired_state()) {
    known.set_desired_state(task.desired_state());
  }
  if (record.removed()) {
    // It was being taken down because managers did not name it; there is no way back.
    record.set_removed(false);
    if (!wants_end(record)) {
      record.set_failure("task: it was stopped, because managers had not assigned it any more");
    }
    return behind;
  }
  if (!record.planned()) {
    // Nothing was derived from the spec yet: take it whole, credential included.
    const auto desired = known.desired_state();
    known = task;
    known.clear_status();
    known.set_desired_state(desired);
    record.set_credentials_missing(false);
  } else if (record.adopted()) {
    *known.mutable_service_labels() = task.service_labels();
  }
  return behind;
}

void forget_unstarted(v1::TaskRecord& record) {
  if (record.started() != v1::PROGRESS_NONE || wants_end(record)) {
    return;
  }
  const auto again = [](v1::Progress progress) {
    return progress == v1::PROGRESS_DONE ? v1::PROGRESS_ATTEMPTED : progress;
  };
  for (auto& use : *record.mutable_volumes()) {
    use.set_mounted(again(use.mounted()));
  }
  for (auto& use : *record.mutable_endpoints()) {
    use.set_network(again(use.network()));
    use.set_endpoint(again(use.endpoint()));
    use.set_joined(again(use.joined()));
    use.set_published(again(use.published()));
  }
  record.set_sandbox(again(record.sandbox()));
  record.set_files(again(record.files()));
}

}  // namespace skep::node
