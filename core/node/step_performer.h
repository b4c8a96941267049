#pragma once

// Performs one step of a task: builds the request, calls the driver, and turns the answer into a
// StepOutcome. Keeps no state of tasks. Loop thread only.

#include <functional>
#include <memory>

#include "core/node/node.h"
#include "core/node/task_runner.h"
#include "skep/env.h"
#include "skep/rpc.h"

namespace skep::node {

/// Target of the driver a step is asked of ("volume/nfs"); empty for what the node does itself.
std::string driver_of(const v1::TaskRecord& record, const Step& step);

/// "TASK/mount-volume/0": the same for every repeat of a step.
std::string operation_id(const v1::TaskRecord& record, const Step& step);

class StepPerformer {
 public:
  using Done = std::function<void(StepOutcome)>;
  /// Gives up waiting; `done` does not come any more. The effect is unknown.
  using Abandon = std::function<void()>;

  StepPerformer(Env& env, rpc::Caller& caller, const NodeConfig& config, NodeParts parts);
  ~StepPerformer();
  StepPerformer(const StepPerformer&) = delete;
  StepPerformer& operator=(const StepPerformer&) = delete;

  /// `done` comes exactly once, on the loop and never from within perform(). kForget is not for it.
  Abandon perform(const v1::TaskRecord& record, const Step& step, Done done);

 private:
  Abandon perform_image(const v1::TaskRecord& record, const Step& step, Done done);
  Abandon perform_volume(const v1::TaskRecord& record, const Step& step, Done done);
  Abandon perform_network(const v1::TaskRecord& record, const Step& step, Done done);
  Abandon perform_container(const v1::TaskRecord& record, const Step& step, Done done);
  Abandon perform_local(const v1::TaskRecord& record, const Step& step, Done done);
  Abandon check_bind(const v1::VolumeUse& use, Done done);
  Status write_files(const v1::TaskRecord& record);

  template <class M, class Fill>
  Abandon call(const v1::TaskRecord& record, const Step& step, const typename M::Request& request,
               std::chrono::milliseconds deadline, Done done, Fill fill);

  Env& env_;
  rpc::Caller& caller_;
  const NodeConfig& config_;
  NodeParts parts_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace skep::node
