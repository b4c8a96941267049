#include "core/node/task_runner.h"

#include <algorithm>

#include "core/model/task_state.h"
#include "core/node/record.h"
#include "core/node/task_plan.h"
#include "skep/mutant.h"

namespace skep::node {
namespace {

using model::v1::TaskState;

bool owned(v1::Progress progress) {
  return progress == v1::PROGRESS_ATTEMPTED || progress == v1::PROGRESS_DONE;
}
bool done(v1::Progress progress) { return progress == v1::PROGRESS_DONE; }

bool set_state(v1::TaskRecord& record, TaskState state, std::string_view message,
               std::string_view error, WallTime now) {
  auto& status = *record.mutable_status();
  if (state <= status.state()) {
    return false;  // states only go forward
  }
  status.set_state(state);
  status.set_message(std::string(message));
  status.set_error(std::string(error));
  status.set_timestamp(now);
  return true;
}

bool volume_ready(const v1::VolumeUse& use) {
  return done(use.created()) && (use.driver().empty() || done(use.mounted()));
}

bool prepared(const v1::TaskRecord& record) {
  return record.planned() &&
         std::all_of(record.volumes().begin(), record.volumes().end(), volume_ready) &&
         std::all_of(record.endpoints().begin(), record.endpoints().end(),
                     [](const auto& use) { return done(use.network()); });
}

std::string exit_error(const v1::TaskRecord& record) {
  const auto& exit = record.exit();
  const std::string code = std::to_string(exit.exit_code());
  if (record.container() == v1::PROGRESS_RELEASED && exit.exit_code() < 0) {
    return "task: container disappeared: its record is damaged, or something other than this agent removed it";
  }
  return exit.oom_killed() ? "task: out of memory (" + code + ")"
                           : "task: non-zero exit (" + code + ")";
}

bool finish(v1::TaskRecord& record, WallTime now) {
  if (!record.failure().empty()) {
    return set_state(record, model::v1::TASK_STATE_FAILED, "started", record.failure(), now);
  }
  if (record.removed() || record.task().desired_state() >= model::v1::TASK_STATE_SHUTDOWN ||
      !record.exited()) {
    return set_state(record, model::v1::TASK_STATE_SHUTDOWN, "shutdown", "", now);
  }
  if (record.exit().exit_code() == 0) {
    return set_state(record, model::v1::TASK_STATE_COMPLETE, "finished", "", now);
  }
  return set_state(record, model::v1::TASK_STATE_FAILED, "started", exit_error(record), now);
}

std::optional<Step> run_step(const v1::TaskRecord& record, const TaskView& view) {
  if (!record.planned()) {
    return Step{view.pull_needed ? StepKind::kPullImage : StepKind::kInspectImage};
  }
  for (int i = 0; i < record.volumes_size(); ++i) {
    const auto& use = record.volumes(i);
    if (!done(use.created())) {
      return Step{use.driver().empty() ? StepKind::kCheckBind : StepKind::kCreateVolume, i};
    }
    if (!volume_ready(use)) {
      return Step{StepKind::kMountVolume, i};
    }
  }
  for (int i = 0; i < record.endpoints_size(); ++i) {
    if (!done(record.endpoints(i).network())) {
      return Step{StepKind::kMakeNetwork, i};
    }
  }
  return std::nullopt;
}

std::optional<Step> start_step(const v1::TaskRecord& record) {
  if (record.needs_sandbox() && !done(record.sandbox())) {
    return Step{StepKind::kMakeSandbox};
  }
  const bool publishes = !host_ports(record).empty();
  for (int i = 0; i < record.endpoints_size(); ++i) {
    const auto& use = record.endpoints(i);
    if (!done(use.endpoint())) {
      return Step{StepKind::kCreateEndpoint, i};
    }
    if (!done(use.joined())) {
      return Step{StepKind::kJoinEndpoint, i};
    }
    if (use.gateway() && publishes && !done(use.published())) {
      return Step{StepKind::kPublishPorts, i};
    }
  }
  if (!done(record.files())) {
    return Step{StepKind::kWriteFiles};
  }
  if (!done(record.container())) {
    return Step{StepKind::kCreateContainer};
  }
  return Step{StepKind::kStartContainer};
}

/// Clean-up steps whose turn it is, in order. Several may be open: one that fails must not hold up
/// the others.
std::vector<Step> release_steps(const v1::TaskRecord& record) {
  std::vector<Step> steps;
  for (int i = record.endpoints_size() - 1; i >= 0; --i) {
    const auto& use = record.endpoints(i);
    if (owned(use.published())) {
      steps.push_back({StepKind::kUnpublishPorts, i});
    }
    if (owned(use.joined())) {
      steps.push_back({StepKind::kLeaveEndpoint, i});
    }
    if (owned(use.endpoint())) {
      steps.push_back({StepKind::kDeleteEndpoint, i});
    }
  }
  return steps;
}

std::vector<Step> clean_up_steps(const v1::TaskRecord& record) {
  std::vector<Step> steps;
  const bool dead_for_logs = record.exited() && !record.removed();
  if (owned(record.container()) && !dead_for_logs) {
    steps.push_back({StepKind::kRemoveContainer});
  }
  const auto releases = release_steps(record);
  steps.insert(steps.end(), releases.begin(), releases.end());
  if (owned(record.sandbox())) {
    steps.push_back({StepKind::kRemoveSandbox});
  }
  for (int i = record.volumes_size() - 1; i >= 0; --i) {
    if (owned(record.volumes(i).mounted())) {
      steps.push_back({StepKind::kUnmountVolume, i});
    }
  }
  for (int i = record.endpoints_size() - 1; i >= 0; --i) {
    if (owned(record.endpoints(i).network()) && !owned(record.endpoints(i).endpoint())) {
      steps.push_back({StepKind::kDeleteNetwork, i});
    }
  }
  if (!record.removed()) {
    return steps;
  }
  for (int i = 0; i < record.volumes_size(); ++i) {
    const auto& use = record.volumes(i);
    if (use.anonymous() && owned(use.created()) && !owned(use.mounted())) {
      steps.push_back({StepKind::kRemoveVolume, i});
    }
  }
  if (owned(record.files()) && !owned(record.container())) {
    steps.push_back({StepKind::kRemoveFiles});
  }
  if (steps.empty()) {
    steps.push_back({StepKind::kForget});
  }
  return steps;
}

/// The first of `steps` that is not waiting for its next try.
NextStep first_due(const std::vector<Step>& steps, const TaskView& view, TimePoint now) {
  NextStep next;
  for (const auto& step : steps) {
    const auto retry = view.retries.find(step);
    if (retry == view.retries.end() || retry->second.at <= now) {
      return {.step = step, .wake = {}};
    }
    next.wake = next.wake ? std::min(*next.wake, retry->second.at) : retry->second.at;
  }
  return next;
}

}  // namespace

bool wants_end(const v1::TaskRecord& record) {
  return record.removed() || record.exited() || !record.failure().empty() ||
         record.task().desired_state() >= model::v1::TASK_STATE_SHUTDOWN ||
         model::is_terminal(record.status().state());
}

bool watches_exit(const v1::TaskRecord& record) {
  return record.started() == v1::PROGRESS_DONE && !record.exited();
}

bool advance(v1::TaskRecord& record, const TaskView& view, WallTime now) {
  if (model::is_terminal(record.status().state())) {
    return false;
  }
  if (wants_end(record)) {
    if (!record.exited() && owned(record.started())) {
      if (SKEP_MUTANT(kTaskEndInvented)) {
        return finish(record, now);
      }
      return false;  // its end is not known yet
    }
    // Host ports are given back, or it was tried, before managers put a successor here.
    const auto open = release_steps(record);
    const bool tried = std::all_of(open.begin(), open.end(), [&view](const Step& step) {
      return view.retries.contains(step);
    });
    return tried && finish(record, now);
  }
  if (record.started() == v1::PROGRESS_DONE) {
    const bool checking = record.health_check().test_size() > 0 && !record.healthy_once();
    return checking ? set_state(record, model::v1::TASK_STATE_STARTING, "starting", "", now)
                    : set_state(record, model::v1::TASK_STATE_RUNNING, "started", "", now);
  }
  if (!prepared(record)) {
    return set_state(record, model::v1::TASK_STATE_PREPARING, "preparing", "", now);
  }
  return record.task().desired_state() >= model::v1::TASK_STATE_RUNNING
             ? set_state(record, model::v1::TASK_STATE_STARTING, "starting", "", now)
             : set_state(record, model::v1::TASK_STATE_READY, "prepared", "", now);
}

NextStep next_step(const v1::TaskRecord& record, const TaskView& view, TimePoint now) {
  if (record.started() == v1::PROGRESS_ATTEMPTED && !record.exited()) {
    return first_due({{StepKind::kInspectContainer}}, view, now);
  }
  if (wants_end(record)) {
    return watches_exit(record) ? first_due({{StepKind::kStopContainer}}, view, now)
                                : first_due(clean_up_steps(record), view, now);
  }
  if (record.started() == v1::PROGRESS_DONE) {
    return {};
  }
  auto step = run_step(record, view);
  if (step && step->kind == StepKind::kPullImage && record.credentials_missing()) {
    return {};  // until a manager sends the task again
  }
  if (!step) {
    if (record.task().desired_state() < model::v1::TASK_STATE_RUNNING) {
      return {};
    }
    step = start_step(record);
  }
  return first_due({*step}, view, now);
}

}  // namespace skep::node
