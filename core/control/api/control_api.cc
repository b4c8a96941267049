#include "core/control/api/control_api.h"

#include <algorithm>
#include <utility>

#include "core/control/api/commit.h"
#include "core/control/api/filters.h"
#include "core/control/api/lookup.h"
#include "core/control/api/page.h"
#include "core/control/managers/role_manager.h"

namespace skep::control {
namespace {

namespace v1 = control::v1;
using model::v1::Node;
using model::v1::Service;
using model::v1::Task;

constexpr std::size_t kStreamsMax = 256;  // watches and log readers, each
constexpr std::size_t kRemovalsKept = 256;
constexpr int kRemoveTries = 8;

Error too_many_streams() {
  return Error{Code::kResourceExhausted,
               std::to_string(kStreamsMax) + " streams of this kind are open; close some",
               "TOO_MANY_STREAMS"};
}

}  // namespace

ControlApi::ControlApi(Env& env, rpc::Caller& caller, store::Store& store,
                       store::Proposer& proposer, Config config)
    : env_(env),
      caller_(caller),
      store_(store),
      proposer_(proposer),
      config_(std::move(config)),
      alive_(std::make_shared<char>()) {}

ControlApi::~ControlApi() {
  end_streams(Error{Code::kUnavailable, "the manager stopped", "MANAGER_STOPPED"});
}

void ControlApi::end_streams(const Error& error) {
  for (auto& [key, stream] : std::exchange(watches_, {})) {
    stream->finish(error);
  }
  for (auto& [key, stream] : std::exchange(logs_, {})) {
    stream->finish(error);
  }
}

void ControlApi::create_service(const v1::CreateServiceRequest& request,
                                const rpc::CallContext& context,
                                Reply<v1::CreateServiceResponse> reply) {
  auto edit = control::create_service(store_.view(), request, context.operation_id,
                                      names_in_flight_, env_.random);
  if (!edit) {
    return reply(std::move(edit).error());
  }
  const std::string name = edit->object.spec().name();
  if (!edit->transaction.empty()) {
    names_in_flight_.insert(name);
  }
  commit<Service, v1::CreateServiceResponse>(
      *std::move(edit), std::move(reply),
      [](v1::CreateServiceResponse& response, Service service) {
        *response.mutable_service() = std::move(service);
      },
      [this, name] { names_in_flight_.erase(name); });
}

void ControlApi::update_service(const v1::UpdateServiceRequest& request,
                                const rpc::CallContext& context,
                                Reply<v1::UpdateServiceResponse> reply) {
  auto edit =
      control::update_service(store_.view(), request, context.operation_id, env_.clock.wall_now());
  if (!edit) {
    return reply(std::move(edit).error());
  }
  commit<Service, v1::UpdateServiceResponse>(
      *std::move(edit), std::move(reply), [](v1::UpdateServiceResponse& response, Service service) {
        *response.mutable_service() = std::move(service);
      });
}

void ControlApi::remove_service(const v1::RemoveServiceRequest& request,
                                const rpc::CallContext& context,
                                Reply<v1::RemoveServiceResponse> reply) {
  if (!context.operation_id.empty() &&
      std::find(removals_.begin(), removals_.end(), context.operation_id) != removals_.end()) {
    return reply(v1::RemoveServiceResponse());
  }
  try_remove(request, context.operation_id, kRemoveTries, std::move(reply));
}

void ControlApi::try_remove(const v1::RemoveServiceRequest& request,
                            const std::string& operation_id, int tries_left,
                            Reply<v1::RemoveServiceResponse> reply) {
  auto edit = control::remove_service(store_.view(), request);
  if (!edit) {
    return reply(std::move(edit).error());
  }
  auto done = [this, alive = std::weak_ptr<char>(alive_), request, operation_id, tries_left,
               reply = std::move(reply)](Result<std::uint64_t> result) {
    // Managers touch the service too (update progress); whoever removes it does not care.
    if (!result && result.error().code == Code::kConflict && tries_left > 1 && !alive.expired()) {
      return try_remove(request, operation_id, tries_left - 1, reply);
    }
    if (!result) {
      return reply(std::move(result).error());
    }
    if (!operation_id.empty() && !alive.expired()) {
      removals_.push_back(operation_id);
      if (removals_.size() > kRemovalsKept) {
        removals_.pop_front();
      }
    }
    reply(v1::RemoveServiceResponse());
  };
  proposer_.propose(std::move(edit->transaction), std::move(done));
}

Result<v1::GetServiceResponse> ControlApi::get_service(const v1::GetServiceRequest& request,
                                                       const rpc::CallContext& /*context*/) {
  SKEP_TRY_ASSIGN(const auto service, find_service(store_.view(), request.ref()));
  v1::GetServiceResponse response;
  *response.mutable_service() = shown(*service);
  return response;
}

Result<v1::ListServicesResponse> ControlApi::list_services(const v1::ListServicesRequest& request,
                                                           const rpc::CallContext& /*context*/) {
  SKEP_TRY_ASSIGN(const auto filters, Filters::for_services(request.filters()));
  const store::View& view = store_.view();
  v1::ListServicesResponse response;
  fill_page(
      view.all<Service>(), request.after(), response,
      [&](const Service& service) { return filters.matches(service); },
      [&](const Service& service) {
        *response.add_services() = shown(service);
        (*response.mutable_counts())[service.id()] = count_tasks(view, service);
      });
  return response;
}

Result<v1::ListTasksResponse> ControlApi::list_tasks(const v1::ListTasksRequest& request,
                                                     const rpc::CallContext& context) {
  const store::View& view = store_.view();
  SKEP_TRY_ASSIGN(const auto filters, Filters::for_tasks(request.filters(), view, self(context)));
  const auto& services = filters.values("service");
  v1::ListTasksResponse response;
  fill_page(
      services.size() == 1 ? view.tasks_of_service(services.front()) : view.all<Task>(),
      request.after(), response, [&](const Task& task) { return filters.matches(task, view); },
      [&](const Task& task) { *response.add_tasks() = shown(task); });
  return response;
}

Result<v1::GetTaskResponse> ControlApi::get_task(const v1::GetTaskRequest& request,
                                                 const rpc::CallContext& /*context*/) {
  SKEP_TRY_ASSIGN(const auto task, find_task(store_.view(), request.ref()));
  v1::GetTaskResponse response;
  *response.mutable_task() = shown(*task);
  return response;
}

Result<v1::ListNodesResponse> ControlApi::list_nodes(const v1::ListNodesRequest& request,
                                                     const rpc::CallContext& context) {
  SKEP_TRY_ASSIGN(const auto filters, Filters::for_nodes(request.filters()));
  v1::ListNodesResponse response;
  fill_page(
      store_.view().all<Node>(), request.after(), response,
      [&](const Node& node) { return filters.matches(node); },
      [&](const Node& node) {
        Node& added = *response.add_nodes();
        added = node;
        config_.add_manager_status(added);
      });
  response.set_self(self(context));
  return response;
}

Result<v1::GetNodeResponse> ControlApi::get_node(const v1::GetNodeRequest& request,
                                                 const rpc::CallContext& context) {
  SKEP_TRY_ASSIGN(const auto node, find_node(store_.view(), request.ref(), self(context)));
  v1::GetNodeResponse response;
  *response.mutable_node() = *node;
  config_.add_manager_status(*response.mutable_node());
  return response;
}

Result<v1::GetClusterResponse> ControlApi::get_cluster(const v1::GetClusterRequest& /*request*/,
                                                       const rpc::CallContext& /*context*/) {
  const auto cluster = store_.view().cluster();
  if (cluster == nullptr) {
    return Error{Code::kUnavailable, "the swarm is being initialised", "NO_CLUSTER"};
  }
  v1::GetClusterResponse response;
  *response.mutable_cluster() = *cluster;
  redact(*response.mutable_cluster());
  std::uint64_t managers = 0;
  for (const auto& [id, node] : store_.view().all<Node>()) {
    managers += node->spec().role() == model::v1::NODE_ROLE_MANAGER ? 1 : 0;
  }
  response.set_managers(managers);
  response.set_nodes(store_.view().all<Node>().size());
  for (auto& warning : manager_count_warnings(config_.votes())) {
    response.add_warnings(std::move(warning));
  }
  return response;
}

void ControlApi::watch(const v1::WatchRequest& request, WatchStream::Stream stream) {
  if (watches_.size() >= kStreamsMax) {
    return stream.finish(too_many_streams());
  }
  auto opened = WatchStream::open(store_, request, std::move(stream),
                                  [this](WatchStream* ended) { watches_.erase(ended); });
  if (opened != nullptr) {
    watches_.emplace(opened.get(), opened);
  }
}

void ControlApi::service_logs(const v1::ServiceLogsRequest& request, LogStream::Stream stream) {
  if (logs_.size() >= kStreamsMax) {
    return stream.finish(too_many_streams());
  }
  auto opened = LogStream::open(store_, caller_, config_.log_target, request, std::move(stream),
                                [this](LogStream* ended) { logs_.erase(ended); });
  if (opened != nullptr) {
    logs_.emplace(opened.get(), opened);
  }
}

}  // namespace skep::control
