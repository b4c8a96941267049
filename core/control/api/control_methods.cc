// Which method of control/1 is answered by what. See control_api.h.

#include <utility>

#include "core/control/api/control_api.h"

namespace skep::control {
namespace {

namespace v1 = control::v1;
namespace methods = control::v1::methods;

/// Workers have no say over the swarm; people and gateways on this node, and managers, do.
Status check_caller(const rpc::CallContext& context) {
  if (context.principal.kind() == "node" && context.principal.role() != "manager") {
    return Error{Code::kPermissionDenied,
                 "node '" + context.principal.id() + "' is a worker; ask a manager",
                 "NOT_A_MANAGER"};
  }
  return ok();
}

/// Answers M with `(api->*handler)(request)` once the API may be used.
template <class M, class Handler>
void on_read(rpc::MethodTable& table, const ControlApi::Access& access, Handler handler) {
  table.on<M>([access, handler](const typename M::Request& request, const rpc::CallContext& context,
                                rpc::Reply<typename M::Response> reply) {
    if (auto status = check_caller(context); !status) {
      return reply(std::move(status).error());
    }
    access([handler, request, context, reply](Result<ControlApi*> api) {
      api ? reply(((*api)->*handler)(request, context)) : reply(std::move(api).error());
    });
  });
}

template <class M, class Handler>
void on_write(rpc::MethodTable& table, const ControlApi::Access& access, Handler handler) {
  table.on<M>([access, handler](const typename M::Request& request, const rpc::CallContext& context,
                                rpc::Reply<typename M::Response> reply) {
    if (auto status = check_caller(context); !status) {
      return reply(std::move(status).error());
    }
    access([handler, request, context, reply](Result<ControlApi*> api) {
      api ? ((*api)->*handler)(request, context, reply) : reply(std::move(api).error());
    });
  });
}

template <class M, class Handler>
void on_stream(rpc::MethodTable& table, const ControlApi::Access& access, Handler handler) {
  table.on_stream<M>(
      [access, handler](const typename M::Request& request, rpc::TypedServerStream<M> stream) {
        if (auto status = check_caller(stream.context()); !status) {
          return stream.finish(std::move(status));
        }
        access([handler, request, stream](Result<ControlApi*> api) mutable {
          api ? ((*api)->*handler)(request, stream) : stream.finish(std::move(api).error());
        });
      });
}

}  // namespace

void ControlApi::register_reads(rpc::MethodTable& table, const Access& access) {
  on_read<methods::GetService>(table, access, &ControlApi::get_service);
  on_read<methods::ListServices>(table, access, &ControlApi::list_services);
  on_read<methods::ListTasks>(table, access, &ControlApi::list_tasks);
  on_read<methods::GetTask>(table, access, &ControlApi::get_task);
  on_read<methods::ListNodes>(table, access, &ControlApi::list_nodes);
  on_read<methods::GetNode>(table, access, &ControlApi::get_node);
  on_read<methods::GetCluster>(table, access, &ControlApi::get_cluster);
  on_read<methods::RootStatus>(table, access, &ControlApi::root_status);
  on_stream<methods::Watch>(table, access, &ControlApi::watch);
  on_stream<methods::ServiceLogs>(table, access, &ControlApi::service_logs);
}

bool ControlApi::is_repeatable(std::string_view method) {
  // Not creates: what the first try made may have been removed since, and would come back.
  return method == methods::UpdateService::kName || method == methods::UpdateNode::kName ||
         method == methods::UpdateCluster::kName || method == methods::UnlockKey::kName ||
         method == methods::RotateRoot::kName;
}

void ControlApi::register_writes(rpc::MethodTable& table, const Access& access) {
  on_write<methods::CreateService>(table, access, &ControlApi::create_service);
  on_write<methods::UpdateService>(table, access, &ControlApi::update_service);
  on_write<methods::RemoveService>(table, access, &ControlApi::remove_service);
  on_write<methods::UpdateNode>(table, access, &ControlApi::update_node);
  on_write<methods::RemoveNode>(table, access, &ControlApi::remove_node);
  on_write<methods::UpdateCluster>(table, access, &ControlApi::update_cluster);
  on_write<methods::UnlockKey>(table, access, &ControlApi::unlock_key);
  on_write<methods::RotateRoot>(table, access, &ControlApi::rotate_root);
}

}  // namespace skep::control
