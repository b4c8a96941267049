#pragma once

// A whole agent for the command line's tests: answers agent/1, control/1, plugin/1, runtime/1,
// network/1 and volume/1 from tables in memory. Behind it lies the SDK's LocalBus on a virtual clock, so a test
// that "waits 5 seconds" takes none.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "skep/agent.pb.h"
#include "skep/control.pb.h"
#include "skep/network.pb.h"
#include "skep/plugin.pb.h"
#include "skep/posix_env.h"
#include "skep/runtime.pb.h"
#include "skep/testing/local_bus.h"
#include "skep/testing/manual_env.h"
#include "skep/volume.pb.h"

namespace skep::ctl {

struct FakeAgent {
  FakeAgent();

  agent::v1::InfoResponse info;
  std::map<std::string, model::v1::Service> services;  // by id
  std::vector<model::v1::Task> tasks;
  std::vector<model::v1::Node> nodes;
  std::vector<runtime::v1::Image> images;
  std::vector<runtime::v1::ContainerInfo> containers;
  std::map<std::string, volume::v1::Volume> volumes;
  network::v1::ListResponse endpoints;  ///< of network/bridge
  std::vector<plugin::v1::PluginInfo> plugins;
  std::vector<control::v1::ServiceLogLine> log_lines;
  std::int64_t container_log_time = 0;  ///< when every container wrote its line
  std::uint64_t version = 10;
  std::size_t page_rows = 0;  ///< of services, tasks and nodes in one answer; 0: all

  // what was asked
  agent::v1::InitRequest init_request;
  agent::v1::JoinRequest join_request;
  int token_rotations = 0;
  runtime::v1::PullRequest pull_request;
  control::v1::ListTasksRequest tasks_request;
  control::v1::ServiceLogsRequest logs_request;
  runtime::v1::ExecStart exec_start;
  std::optional<Error> exec_refusal;
  std::vector<plugin::v1::TraceLine> trace;  ///< what `bus trace` gets before it ends
  int polls = 0;
  std::function<void(FakeAgent&)> on_poll = {};  ///< before every ListTasks
  Result<Unit> refuse = ok();                    ///< answer of the next change

  rpc::MethodTable table;

  /// A running task of every slot of `service`.
  void run_all(const std::string& service_id);

 private:
  void serve_agent();
  void serve_services();
  void serve_nodes();
  void serve_runtime();
  void serve_volumes();
  Result<control::v1::UpdateServiceResponse> update_service(
      const control::v1::UpdateServiceRequest& request);
};

/// One invocation of agentctl against a FakeAgent.
class Cli {
 public:
  explicit Cli(FakeAgent& agent);

  struct Run {
    int exit_code = 0;
    std::string out;
    std::string err;
  };
  Run run(std::vector<std::string> words, const std::string& input = "");

  testing::ManualLoop loop;
  testing::SeededRandom random{1};
  PosixDisk disk;
  std::map<std::string, std::string> environment;
  Terminal terminal;
  Subprocess* subprocess = nullptr;  ///< default: the real one

 private:
  FakeAgent& agent_;
};

}  // namespace skep::ctl
