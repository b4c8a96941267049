#include "core/node/reconciler.h"

#include <chrono>

#include "skep/log.h"
#include "skep/network.methods.h"
#include "skep/runtime.methods.h"

namespace skep::node {
namespace {

constexpr std::chrono::seconds kEvery{10};
constexpr std::chrono::seconds kListDeadline{10};
constexpr std::chrono::seconds kRemoveDeadline{30};

}  // namespace

Reconciler::Reconciler(Env& env, rpc::Caller& caller, const NodeConfig& config, NodeParts parts,
                       DriverWatch& drivers, TaskManager& tasks)
    : env_(env),
      caller_(caller),
      config_(config),
      parts_(parts),
      drivers_(drivers),
      tasks_(tasks) {}

Reconciler::~Reconciler() {
  *alive_ = false;
  env_.loop.cancel_timer(timer_);
}

void Reconciler::start() { arm(); }

void Reconciler::arm() {
  timer_ = env_.loop.run_after(kEvery, [this] {
    run();
    arm();
  });
}

void Reconciler::run() {
  drivers_.check();
  for (const auto& runtime : drivers_.ready("runtime")) {
    check_runtime(runtime);
  }
  if (!tasks_.has_complete_assignment()) {
    return;  // what looks like nobody's may be a task whose record was lost
  }
  for (const auto& driver : drivers_.ready("network")) {
    check_network(driver);
  }
  check_sandboxes();
  check_directories();
}

void Reconciler::check_runtime(const std::string& runtime) {
  rpc::call<runtime::v1::methods::List>(
      caller_, "runtime/" + runtime, {}, {.deadline = kListDeadline},
      [this, alive = alive_, runtime,
       asked_at = env_.loop.now()](const Result<runtime::v1::ListResponse>& listed) {
        if (*alive && listed) {
          tasks_.take_containers(runtime, listed->containers(), asked_at);
        }
      });
}

void Reconciler::check_network(const std::string& driver) {
  rpc::call<network::v1::methods::List>(
      caller_, "network/" + driver, {}, {.deadline = kListDeadline},
      [this, alive = alive_, driver](const Result<network::v1::ListResponse>& listed) {
        if (!*alive || !listed) {
          return;
        }
        for (const auto& endpoint : listed->endpoints()) {
          if (!tasks_.uses_endpoint(endpoint.endpoint_id(), endpoint.network_id())) {
            remove_endpoint(driver, endpoint);
          }
        }
      });
}

void Reconciler::remove_endpoint(const std::string& driver,
                                 const network::v1::EndpointInfo& endpoint) {
  SKEP_INFO("endpoint of no task is removed", {"driver", driver},
            {"network", endpoint.network_id()}, {"endpoint", endpoint.endpoint_id()});
  network::v1::LeaveRequest leave;
  leave.set_network_id(endpoint.network_id());
  leave.set_endpoint_id(endpoint.endpoint_id());
  network::v1::DeleteEndpointRequest remove;
  remove.set_network_id(endpoint.network_id());
  remove.set_endpoint_id(endpoint.endpoint_id());
  const std::string target = "network/" + driver;
  // What fails is tried again at the next comparison.
  rpc::call<network::v1::methods::Leave>(
      caller_, target, leave, {.deadline = kRemoveDeadline},
      [this, alive = alive_, target, remove](const Result<network::v1::LeaveResponse>&) {
        if (*alive) {
          rpc::call<network::v1::methods::DeleteEndpoint>(
              caller_, target, remove, {.deadline = kRemoveDeadline},
              [](const Result<network::v1::DeleteEndpointResponse>&) {});
        }
      });
}

void Reconciler::check_sandboxes() {
  parts_.sandboxes.list([this, alive = alive_](const Result<std::vector<std::string>>& ids) {
    if (!*alive || !ids) {
      return;
    }
    for (const auto& id : *ids) {
      if (tasks_.uses_sandbox(id)) {
        continue;
      }
      SKEP_INFO("sandbox of no task is removed", {"sandbox", id});
      parts_.sandboxes.remove(id, [id](const Status& status) {
        if (!status) {
          SKEP_WARN("sandbox was not removed", {"sandbox", id}, {"cause", status.error().message});
        }
      });
    }
  });
}

void Reconciler::check_directories() {
  const auto names = env_.disk.list_directory(config_.run_dir + "/tasks");
  if (!names) {
    return;  // no task was here yet
  }
  for (const auto& name : *names) {
    if (tasks_.record(name) == nullptr) {
      if (auto status = env_.disk.remove_tree(config_.run_dir + "/tasks/" + name); !status) {
        SKEP_WARN("directory of no task was not removed", {"task", name},
                  {"cause", status.error().message});
      }
    }
  }
}

}  // namespace skep::node
