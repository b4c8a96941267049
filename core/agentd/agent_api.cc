#include "core/agentd/agent_api.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "core/agentd/containers.h"
#include "core/agentd/recovery.h"
#include "core/agentd/version.h"
#include "core/control/errors.h"
#include "core/control/managers/role_manager.h"
#include "core/link/certificate.h"
#include "core/model/defaults.h"
#include "core/store/view.h"
#include "skep/agent.methods.h"
#include "skep/runtime.methods.h"

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

std::string operating_system(Disk& disk) {
  auto content = disk.read_file("/etc/os-release");
  const std::string key = "PRETTY_NAME=\"";
  const auto begin = content ? content->find(key) : std::string::npos;
  if (begin == std::string::npos) {
    return "Linux";
  }
  const auto end = content->find('"', begin + key.size());
  return content->substr(begin + key.size(), end - begin - key.size());
}

class AgentApi {
 public:
  AgentApi(Env& env, rpc::Caller& caller, Swarm& swarm, host::PluginHost& plugins, const Paths& paths,
           const Config& config, const std::string& installation_id)
      : env_(env), caller_(caller), swarm_(swarm), plugins_(plugins), paths_(paths), config_(config),
        installation_id_(installation_id), containers_(env, caller, view_of(plugins)) {}

  Containers& containers() { return containers_; }

  void info(const rpc::Reply<agent::v1::InfoResponse>& reply) {
    containers_.gather([this, reply](Containers::Gathered& gathered) {
      agent::v1::InfoResponse response = facts();
      for (const auto& container : gathered.containers.containers()) {
        const bool runs = container.state() == runtime::v1::CONTAINER_STATE_RUNNING;
        response.set_containers_running(response.containers_running() + (runs ? 1 : 0));
        response.set_containers_stopped(response.containers_stopped() + (runs ? 0 : 1));
      }
      for (std::string& warning : gathered.warnings) {
        response.add_warnings(std::move(warning));
      }
      add_images(std::move(response), reply);
    });
  }

 private:
  void add_images(agent::v1::InfoResponse response, const rpc::Reply<agent::v1::InfoResponse>& reply) {
    rpc::call<runtime::v1::methods::ListImages>(
        caller_, "runtime/" + config_.default_runtime, {}, {.deadline = 10s},
        [this, response = std::move(response), reply](Result<runtime::v1::ListImagesResponse> images) mutable {
          if (images) {
            response.set_images(static_cast<std::uint64_t>(images->images_size()));
          } else {
            response.add_warnings("images cannot be listed: " + images.error().message);
          }
          add_health(std::move(response), reply);
        });
  }

  void add_health(agent::v1::InfoResponse response, const rpc::Reply<agent::v1::InfoResponse>& reply) {
    control::Manager* manager = swarm_.manager();
    if (manager == nullptr) {
      return reply(std::move(response));
    }
    manager->health([response = std::move(response), reply](const std::string& trouble) mutable {
      if (!trouble.empty()) {
        response.set_error(response.error().empty() ? trouble : response.error() + "; " + trouble);
      }
      reply(std::move(response));
    });
  }

  agent::v1::InfoResponse facts() {
    agent::v1::InfoResponse response;
    response.set_version(kVersion);
    response.set_root(paths_.root);
    response.set_installation_id(installation_id_);
    response.set_swarm_state(swarm_.state());
    response.set_error(swarm_.trouble());
    *response.mutable_description() = swarm_.describe();
    response.set_default_runtime(config_.default_runtime);
    response.set_pid(::getpid());
    utsname kernel{};
    ::uname(&kernel);
    response.set_kernel(kernel.release);
    response.set_operating_system(operating_system(env_.disk));
    response.set_cgroup_version(env_.disk.exists("/sys/fs/cgroup/cgroup.controllers") ? "2" : "1");
    if (const auto& membership = swarm_.membership()) {
      response.set_node_id(membership->node_id());
      response.set_manager(membership->manager());
      const std::string& address = membership->advertise_address();
      response.set_node_address(address.substr(0, address.rfind(':')));
      if (membership->manager()) {
        response.add_manager_addresses(address);
      }
      for (const std::string& text : swarm_.managers()) {
        const auto manager = parse_manager(text);
        if (manager && manager->node_id != membership->node_id()) {
          response.add_manager_addresses(manager->address);
        }
      }
    }
    if (control::Manager* manager = swarm_.manager(); manager != nullptr) {
      add_cluster(*manager, response);
    }
    for (std::string& warning : swarm_.warnings()) {
      response.add_warnings(std::move(warning));
    }
    for (const auto& plugin : plugins_.list()) {
      if (plugin.state() != "running" && plugin.state() != "disabled") {
        response.add_warnings("plugin '" + plugin.id() + "' is " + plugin.state() + ": " + plugin.reason());
      }
    }
    return response;
  }

  // When to make a snapshot is each manager's own business unless the swarm says: its raft plugin's setting.
  std::uint64_t snapshot_entries() const {
    std::uint64_t entries = model::kSnapshotEntries;
    if (const auto raft = config_.plugins.find("raft"); raft != config_.plugins.end()) {
      if (const auto set = raft->second.config.find("snapshot_entries"); set != raft->second.config.end()) {
        std::from_chars(set->second.data(), set->second.data() + set->second.size(), entries);
      }
    }
    return entries;
  }

  // People want to know what is in force; what nobody chose is absent in the store.
  void fill_defaults(model::v1::Cluster& cluster) const {
    auto& spec = *cluster.mutable_spec();
    const auto or_else = [](std::int64_t chosen, Duration by_default) {
      return chosen > 0 ? chosen : std::int64_t{by_default.count()};
    };
    spec.set_heartbeat_period(or_else(spec.heartbeat_period(), model::kHeartbeatPeriod));
    spec.set_certificate_expiry(or_else(spec.certificate_expiry(), link::kCertificateLife));
    if (spec.snapshot_interval() == 0) {
      spec.set_snapshot_interval(snapshot_entries());
    }
    if (cluster.default_address_pool().empty()) {
      cluster.add_default_address_pool(std::string(model::kAddressPool));
    }
    cluster.set_subnet_size(cluster.subnet_size() != 0 ? cluster.subnet_size() : model::kSubnetBits);
    cluster.set_data_path_port(cluster.data_path_port() != 0 ? cluster.data_path_port() : model::kDataPathPort);
  }

  void add_cluster(control::Manager& manager, agent::v1::InfoResponse& response) const {
    const store::View& view = manager.store().view();
    if (const auto cluster = view.cluster()) {
      *response.mutable_cluster() = *cluster;
      response.mutable_cluster()->clear_root_ca();
      response.mutable_cluster()->clear_unlock_key();
      fill_defaults(*response.mutable_cluster());
    }
    for (const auto& [id, node] : view.all<model::v1::Node>()) {
      response.set_nodes(response.nodes() + 1);
      response.set_managers(response.managers() +
                            (node->spec().role() == model::v1::NODE_ROLE_MANAGER ? 1 : 0));
    }
    for (auto& warning : control::manager_count_warnings(manager.votes())) {
      response.add_warnings(std::move(warning));
    }
    if (const std::string trouble = manager.trouble(); !trouble.empty()) {
      response.add_warnings(trouble);
    }
  }

  Env& env_;
  rpc::Caller& caller_;
  Swarm& swarm_;
  host::PluginHost& plugins_;
  const Paths& paths_;
  const Config& config_;
  const std::string& installation_id_;
  Containers containers_;
};

}  // namespace

void register_agent_api(rpc::MethodTable& table, Env& env, rpc::Caller& caller, Swarm& swarm,
                        host::PluginHost& plugins, const Paths& paths, const Config& config,
                        const std::string& installation_id, std::function<void()> end_agent) {
  using namespace agent::v1::methods;  // NOLINT(google-build-using-namespace)
  auto api = std::make_shared<AgentApi>(env, caller, swarm, plugins, paths, config, installation_id);
  table.on<Info>([api](const auto&, const rpc::CallContext&, auto reply) { api->info(reply); });
  table.on<Init>([&swarm](const agent::v1::InitRequest& request, const rpc::CallContext&, auto reply) {
    const auto done = [&swarm, reply](Result<std::string> node_id) {
      if (!node_id) {
        return reply(std::move(node_id).error());
      }
      agent::v1::InitResponse response;
      response.set_node_id(*node_id);
      response.set_unlock_key(swarm.unlock_key());
      reply(std::move(response));
    };
    request.force_new_cluster() ? swarm.recovery().force_new_cluster(request, done) : swarm.init(request, done);
  });
  table.on_stream<Backup>([&swarm](const agent::v1::BackupRequest& request, auto stream) {
    if (stream.context().principal.kind() == "plugin") {
      return stream.finish(Error{Code::kPermissionDenied, "plugins take no backups: they hold the swarm's root key",
                                 "NOT_ALLOWED"});
    }
    const auto manager = swarm.serving_manager();
    if (!manager) {
      return stream.finish(manager.error());
    }
    store::v1::BackupHeader header;
    header.set_version(kVersion);
    header.set_advertise_address(swarm.membership()->advertise_address());
    header.set_listen_address(swarm.membership()->listen_address());
    (*manager)->backup(request.stale(), std::move(header), std::move(stream));
  });
  table.on<Unlock>([&swarm](const agent::v1::UnlockRequest& request, const rpc::CallContext& context, auto reply) {
    if (context.principal.kind() == "plugin") {
      return reply(Error{Code::kPermissionDenied, "plugins do not unlock managers", "NOT_ALLOWED"});
    }
    swarm.unlock(request.key(), [reply](Status status) {
      status ? reply(agent::v1::UnlockResponse()) : reply(std::move(status).error());
    });
  });
  table.on<Join>([&swarm](const agent::v1::JoinRequest& request, const rpc::CallContext&, auto reply) {
    const bool returns = swarm.membership().has_value();
    swarm.join(request, [&swarm, reply, returns](Status status) {
      if (!status) {
        return reply(std::move(status).error());
      }
      agent::v1::JoinResponse response;
      response.set_node_id(swarm.membership()->node_id());
      response.set_manager(swarm.membership()->manager());
      response.set_returned(returns);
      reply(std::move(response));
    });
  });
  table.on<Leave>([&swarm](const agent::v1::LeaveRequest& request, const rpc::CallContext&, auto reply) {
    swarm.leave(request.force(), [reply](Status status) {
      if (!status) {
        return reply(std::move(status).error());
      }
      reply(agent::v1::LeaveResponse{});
    });
  });
  table.on<Stop>([&swarm, end_agent = std::move(end_agent)](const agent::v1::StopRequest& request,
                                                             const rpc::CallContext&, auto reply) {
    if (!swarm.membership()) {
      return reply(Error{Code::kFailedPrecondition,
                         "this node is not part of a swarm: there are no tasks to hand over, and SIGTERM "
                         "ends its agent",
                         "NOT_IN_SWARM"});
    }
    const Duration patience = request.patience() > 0 ? Duration(request.patience()) : kHandOverPatience;
    swarm.hand_over(patience, [end_agent, reply](Status status) {
      if (!status) {
        Error error = std::move(status).error();
        error.message += "; this node goes on";
        return reply(std::move(error));
      }
      reply(agent::v1::StopResponse());
      end_agent();
    });
  });
  table.on<ListContainers>([api](const agent::v1::ListContainersRequest& request, const rpc::CallContext&, auto reply) {
    api->containers().list(request.all(), std::move(reply));
  });
}

}  // namespace skep::agentd
