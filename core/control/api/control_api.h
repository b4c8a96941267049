#pragma once

// Answers control/1: what agentctl and gateways ask of the swarm. Decisions are in edit.h,
// filters.h and lookup.h; this class proposes, answers and keeps the streams. Lives as long as its
// Manager; the manager lets requests in only while it leads. Loop thread only.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "core/bus/https_client.h"
#include "core/control/api/edit.h"
#include "core/control/api/log_broker.h"
#include "core/control/api/watch_stream.h"
#include "core/control/ca/root_rotation.h"
#include "core/store/proposer.h"
#include "core/store/store.h"
#include "skep/control.methods.h"
#include "skep/env.h"
#include "skep/rpc.h"

namespace skep::control {

class ControlApi {
 public:
  struct Config {
    std::string node_id;  ///< of this manager: "self"
    /// Fills manager_status of a node from what consensus knows.
    std::function<void(model::v1::Node&)> add_manager_status;
    LogTarget log_target;
    /// Whether the swarm can do without that manager, as consensus knows it now.
    std::function<void(const std::string& node_id, std::function<void(Status)>)> check_demotion;
    /// Whether the node is a member of the log.
    std::function<bool(const std::string& node_id)> is_member;
    /// How many managers vote.
    std::function<std::size_t()> votes;
    /// For external certificate authorities; nullptr: none can be asked.
    bus::HttpsClient* https = nullptr;
  };
  /// Calls back with the API as soon as this manager leads, or with why not.
  using Access = std::function<void(std::function<void(Result<ControlApi*>)>)>;

  ControlApi(Env& env, rpc::Caller& caller, store::Store& store, store::Proposer& proposer,
             Config config);
  ~ControlApi();
  ControlApi(const ControlApi&) = delete;
  ControlApi& operator=(const ControlApi&) = delete;

  static void register_reads(rpc::MethodTable& table, const Access& access);
  static void register_writes(rpc::MethodTable& table, const Access& access);
  /// Asked again with its operation id it answers as the first time and changes nothing more.
  static bool is_repeatable(std::string_view method);

  /// Ends every stream with `error`: leadership is lost or the manager stops.
  void end_streams(const Error& error);

 private:
  template <class Response>
  using Reply = rpc::Reply<Response>;

  void create_service(const control::v1::CreateServiceRequest& request,
                      const rpc::CallContext& context,
                      Reply<control::v1::CreateServiceResponse> reply);
  void update_service(const control::v1::UpdateServiceRequest& request,
                      const rpc::CallContext& context,
                      Reply<control::v1::UpdateServiceResponse> reply);
  void remove_service(const control::v1::RemoveServiceRequest& request,
                      const rpc::CallContext& context,
                      Reply<control::v1::RemoveServiceResponse> reply);
  void try_remove(const control::v1::RemoveServiceRequest& request, const std::string& operation_id,
                  int tries_left, Reply<control::v1::RemoveServiceResponse> reply);
  void update_node(const control::v1::UpdateNodeRequest& request, const rpc::CallContext& context,
                   Reply<control::v1::UpdateNodeResponse> reply);
  void try_demote(const control::v1::UpdateNodeRequest& request, const rpc::CallContext& context, const std::string& id,
                  int tries_left, Reply<control::v1::UpdateNodeResponse> reply);
  void commit_node(const control::v1::UpdateNodeRequest& request, const rpc::CallContext& context,
                   Reply<control::v1::UpdateNodeResponse> reply);
  void remove_node(const control::v1::RemoveNodeRequest& request, const rpc::CallContext& context,
                   Reply<control::v1::RemoveNodeResponse> reply);
  void update_cluster(const control::v1::UpdateClusterRequest& request,
                      const rpc::CallContext& context,
                      Reply<control::v1::UpdateClusterResponse> reply);
  void unlock_key(const control::v1::UnlockKeyRequest& request, const rpc::CallContext& context,
                  Reply<control::v1::UnlockKeyResponse> reply);
  void rotate_root(const control::v1::RotateRootRequest& request, const rpc::CallContext& context,
                   const Reply<control::v1::RotateRootResponse>& reply);
  void commit_root(const control::v1::RotateRootRequest& request, const std::string& operation_id,
                   const OutsideProof& outside, const Reply<control::v1::RotateRootResponse>& reply);
  Result<control::v1::RootStatusResponse> root_status(const control::v1::RootStatusRequest& request,
                                                      const rpc::CallContext& context);
  Result<control::v1::GetServiceResponse> get_service(const control::v1::GetServiceRequest& request,
                                                      const rpc::CallContext& context);
  Result<control::v1::ListServicesResponse> list_services(
      const control::v1::ListServicesRequest& request, const rpc::CallContext& context);
  Result<control::v1::ListTasksResponse> list_tasks(const control::v1::ListTasksRequest& request,
                                                    const rpc::CallContext& context);
  Result<control::v1::GetTaskResponse> get_task(const control::v1::GetTaskRequest& request,
                                                const rpc::CallContext& context);
  Result<control::v1::ListNodesResponse> list_nodes(const control::v1::ListNodesRequest& request,
                                                    const rpc::CallContext& context);
  Result<control::v1::GetNodeResponse> get_node(const control::v1::GetNodeRequest& request,
                                                const rpc::CallContext& context);
  Result<control::v1::GetClusterResponse> get_cluster(const control::v1::GetClusterRequest& request,
                                                      const rpc::CallContext& context);
  void watch(const control::v1::WatchRequest& request, WatchStream::Stream stream);
  void service_logs(const control::v1::ServiceLogsRequest& request, LogStream::Stream stream);

  /// "self" of who asks: the manager that passed the request on, or this one.
  [[nodiscard]] const std::string& self(const rpc::CallContext& context) const {
    return context.principal.kind() == "node" ? context.principal.id() : config_.node_id;
  }
  /// Proposes an edit and answers with the object as it was committed.
  template <class T, class Response>
  void commit(Edit<T> edit, Reply<Response> reply, void (*fill)(Response&, T),
              std::function<void()> after = {});

  Env& env_;
  rpc::Caller& caller_;
  store::Store& store_;
  store::Proposer& proposer_;
  const Config config_;
  std::set<std::string> names_in_flight_;
  std::deque<std::string> removals_;  // operation ids of recent removals
  std::map<WatchStream*, std::shared_ptr<WatchStream>> watches_;
  std::map<LogStream*, std::shared_ptr<LogStream>> logs_;
  std::shared_ptr<char> alive_;
};

}  // namespace skep::control
