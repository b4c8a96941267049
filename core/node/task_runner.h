#pragma once

// Decides what is done next for one task. Pure: `advance` moves the status to what the facts allow,
// `next_step` names the next driver call, `mark_attempted` notes that it is about to be made, and
// `apply` takes in its outcome. task_manager.h performs. Between any two of them the agent may die:
// every step can be repeated, and what was attempted is given back in the end.
//
//   run:   inspect/pull image - plan - binds, volumes - networks | ready | sandbox - endpoints -
//          files - container - start | starting ... running
//   stop:  stop container - (remove it) - endpoints - sandbox - volumes - networks - (forget)
// In parentheses: only once managers no longer assign the task; until then a dead container is kept
// for its logs. A clean-up step that fails waits its back-off while the others go on.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/node/node.h"
#include "core/node/templates.h"
#include "skep/node.pb.h"
#include "skep/runtime.pb.h"

namespace skep::node {

enum class StepKind : std::uint8_t {
  kInspectImage,
  kPullImage,
  kCheckBind,
  kCreateVolume,
  kMountVolume,
  kMakeNetwork,
  kMakeSandbox,
  kCreateEndpoint,
  kJoinEndpoint,
  kPublishPorts,
  kWriteFiles,
  kCreateContainer,
  kStartContainer,
  kInspectContainer,
  kStopContainer,
  kRemoveContainer,
  kUnpublishPorts,
  kLeaveEndpoint,
  kDeleteEndpoint,
  kRemoveSandbox,
  kUnmountVolume,
  kDeleteNetwork,
  kRemoveVolume,
  kRemoveFiles,
  kForget,
};
std::string_view step_name(StepKind kind);
/// Steps that bring a task up; they share the limit on starts.
bool is_run_step(StepKind kind);

struct Step {
  StepKind kind;
  int index = 0;  ///< of the volume or endpoint
  auto operator<=>(const Step&) const = default;
};

/// What came back. Only the fields that belong to the step are set.
struct StepOutcome {
  Status status = ok();
  std::optional<runtime::v1::Image> image = {};
  std::string path = {};                                ///< mountpoint, sandbox
  std::vector<std::string> addresses = {};
  std::vector<model::v1::PublishedPort> ports = {};
  std::optional<runtime::v1::ContainerInfo> container = {};
  std::optional<runtime::v1::ExitStatus> exit = {};
  int pid = 0;
};

/// What is known only while the agent lives.
struct TaskView {
  struct Retry {
    int attempts = 0;
    TimePoint first{};
    TimePoint at{};
  };
  std::map<Step, Retry> retries;  ///< steps that failed and wait
  bool pull_needed = false;       ///< the runtime does not have the image
};

struct RunnerContext {
  const NodeConfig& config;
  const NodeIdentity& node;
};

/// Managers, or the node itself, want the task to end.
bool wants_end(const v1::TaskRecord& record);

/// Moves the status forward; true when it changed.
bool advance(v1::TaskRecord& record, const TaskView& view, WallTime now);

struct NextStep {
  std::optional<Step> step;
  std::optional<TimePoint> wake;  ///< nothing before, unless something is reported or assigned
};
NextStep next_step(const v1::TaskRecord& record, const TaskView& view, TimePoint now);

/// True when the record changed and must be written before the step is performed.
bool mark_attempted(v1::TaskRecord& record, const Step& step);

void apply(v1::TaskRecord& record, TaskView& view, const Step& step, const StepOutcome& outcome,
           const RunnerContext& context, TimePoint now, WallTime wall);

/// The container is alive and its end is not known yet: a wait call must be open.
bool watches_exit(const v1::TaskRecord& record);
/// What the runtime says of the container, at adoption or after a lost reply. nullptr: it has none.
void apply_container(v1::TaskRecord& record, const runtime::v1::ContainerInfo* info, WallTime now);
void apply_exit(v1::TaskRecord& record, const runtime::v1::ExitStatus& exit);
/// Verdict of the health check. An empty `why` is the first success.
void apply_health(v1::TaskRecord& record, const std::string& unhealthy_why);
/// A new assignment of the task: desired state, and the credential when it is still needed. True:
/// managers know a later status than this node, which is taken over.
bool apply_assignment(v1::TaskRecord& record, const model::v1::Task& task);
/// After a restart of the agent: what a task not yet started had made is asked for again, because a
/// reboot may have taken it away.
void forget_unstarted(v1::TaskRecord& record);

}  // namespace skep::node
