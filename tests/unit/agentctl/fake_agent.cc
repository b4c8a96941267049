#include "tests/unit/agentctl/fake_agent.h"

#include <algorithm>

#include "core/agentctl/errors.h"
#include "core/agentctl/nouns/nouns.h"
#include "skep/agent.methods.h"
#include "skep/ca.methods.h"
#include "skep/control.methods.h"
#include "skep/network.methods.h"
#include "skep/plugin.methods.h"
#include "skep/runtime.methods.h"
#include "skep/volume.methods.h"

namespace skep::ctl {
namespace {

bus::v1::Principal local_user() {
  bus::v1::Principal principal;
  principal.set_kind("local");
  return principal;
}

class FakeConnection final : public Connection {
 public:
  FakeConnection(testing::ManualLoop& loop, FakeAgent& agent) : loop_(loop), bus_(loop) {
    bus_.attach("core", "realm", {"core", "runtime/oci", "network/bridge", "volume/local"}, agent.table,
                local_user());
    caller_ = &bus_.attach("agentctl", "realm", {}, nothing_, local_user());
  }
  rpc::Caller& caller() override { return *caller_; }
  Loop& loop() override { return loop_; }
  void run_until(const std::function<bool()>& done) override {
    SKEP_ASSERT(loop_.run_until(done, std::chrono::hours(1)),
                "the command waits for something that never comes");
  }
  std::shared_ptr<void> watch_signal(int /*number*/, std::function<void()> /*on_signal*/) override {
    return nullptr;
  }

 private:
  testing::ManualLoop& loop_;
  rpc::MethodTable nothing_;
  testing::LocalBus bus_;
  rpc::Caller* caller_ = nullptr;
};

bool has_filter(const google::protobuf::RepeatedPtrField<control::v1::Filter>& filters,
                const std::string& key, const std::string& value) {
  bool named = false;
  for (const auto& filter : filters) {
    named |= filter.key() == key;
    if (filter.key() == key && value.starts_with(filter.value())) {
      return true;
    }
  }
  return !named;
}

/// As managers cut their lists: in order of id, `page_rows` at a time.
template <class Rows, class Request, class Response, class Add>
void fill_fake_page(const Rows& rows, std::size_t page_rows, const Request& request, Response& response,
                    const Add& add) {
  std::multimap<std::string, typename Rows::value_type> sorted;
  for (const auto& row : rows) {
    sorted.emplace(row.id(), row);
  }
  std::size_t given = 0;
  for (auto it = sorted.upper_bound(request.after()); it != sorted.end(); ++it) {
    if (page_rows > 0 && given++ == page_rows) {
      return response.set_next(std::prev(it)->first);
    }
    add(it->second);
  }
}

}  // namespace

FakeAgent::FakeAgent() {
  info.set_version("0.1.0");
  info.set_root("/");
  info.set_swarm_state("active");
  info.set_node_id("node1");
  info.set_manager(true);
  info.mutable_description()->set_hostname("alpha");
  info.mutable_description()->mutable_engine()->add_drivers("runtime/oci");
  info.mutable_description()->mutable_engine()->add_drivers("volume/local");
  model::v1::Node node;
  node.set_id("node1");
  node.mutable_meta()->set_version(3);
  node.mutable_status()->set_state(model::v1::NODE_STATE_READY);
  node.mutable_description()->set_hostname("alpha");
  node.mutable_description()->mutable_engine()->set_version("0.1.0");
  node.mutable_description()->mutable_engine()->add_drivers("volume/local");
  node.mutable_spec()->set_role(model::v1::NODE_ROLE_MANAGER);
  node.mutable_manager_status()->set_leader(true);
  node.mutable_manager_status()->set_reachability(2);
  node.mutable_manager_status()->set_address("10.0.0.1:2377");
  nodes.push_back(node);
  serve_agent();
  serve_services();
  serve_nodes();
  serve_runtime();
  serve_volumes();
}

void FakeAgent::run_all(const std::string& service_id) {
  const auto& service = services.at(service_id);
  std::erase_if(tasks, [&](const auto& task) { return task.service_id() == service_id; });
  for (std::uint64_t slot = 1; slot <= service.spec().replicated().replicas(); ++slot) {
    model::v1::Task task;
    task.set_id("task" + std::to_string(slot) + "0000000000000000");
    task.set_service_id(service_id);
    task.set_service_name(service.spec().name());
    task.set_slot(slot);
    task.set_node_id("node1");
    task.set_spec_version(service.spec_version());
    *task.mutable_spec() = service.spec().task();
    task.set_desired_state(model::v1::TASK_STATE_RUNNING);
    task.mutable_status()->set_state(model::v1::TASK_STATE_RUNNING);
    task.mutable_status()->set_timestamp(1'700'000'000'000'000'000);
    tasks.push_back(task);
  }
}

void FakeAgent::serve_agent() {
  table.on_sync<agent::v1::methods::Info>(
      [this](const auto&) -> Result<agent::v1::InfoResponse> { return info; });
  table.on_sync<ca::v1::methods::JoinToken>(
      [this](const ca::v1::JoinTokenRequest& request) -> Result<ca::v1::JoinTokenResponse> {
        token_rotations += request.rotate() ? 1 : 0;
        ca::v1::JoinTokenResponse response;
        response.set_token(request.manager() ? "SWMTKN-1-manager" : "SWMTKN-1-worker");
        return response;
      });
  table.on_sync<agent::v1::methods::Join>(
      [this](const agent::v1::JoinRequest& request) -> Result<agent::v1::JoinResponse> {
        join_request = request;
        agent::v1::JoinResponse response;
        response.set_manager(request.token() == "SWMTKN-1-manager");
        return response;
      });
  table.on_sync<agent::v1::methods::Init>(
      [this](const auto& request) -> Result<agent::v1::InitResponse> {
        SKEP_TRY(refuse);
        init_request = request;
        agent::v1::InitResponse answer;
        answer.set_node_id("node1");
        return answer;
      });
  table.on_sync<agent::v1::methods::Leave>(
      [](const auto& request) -> Result<agent::v1::LeaveResponse> {
        if (!request.force()) {
          return Error{Code::kFailedPrecondition,
                       "this is the last manager: leaving erases the swarm; use --force"};
        }
        return agent::v1::LeaveResponse();
      });
  table.on_sync<agent::v1::methods::ListContainers>(
      [this](const auto& request) -> Result<agent::v1::ListContainersResponse> {
        agent::v1::ListContainersResponse answer;
        for (const auto& container : containers) {
          if (request.all() || container.state() == runtime::v1::CONTAINER_STATE_RUNNING) {
            *answer.add_containers() = container;
          }
        }
        return answer;
      });
  table.on_sync<plugin::v1::methods::ListPlugins>(
      [this](const auto&) -> Result<plugin::v1::ListPluginsResponse> {
        plugin::v1::ListPluginsResponse answer;
        answer.mutable_plugins()->Assign(plugins.begin(), plugins.end());
        return answer;
      });
  table.on_stream<plugin::v1::methods::Trace>([this](const auto& /*request*/, auto stream) {
    for (const auto& line : trace) {
      (void)stream.send(line);
    }
    stream.finish(ok());
  });
  table.on_sync<plugin::v1::methods::SetPluginEnabled>(
      [this](const auto& request) -> Result<plugin::v1::SetPluginEnabledResponse> {
        for (auto& plugin : plugins) {
          if (plugin.id() == request.id()) {
            plugin.set_state(request.enabled() ? "running" : "disabled");
          }
        }
        return plugin::v1::SetPluginEnabledResponse();
      });
}

Result<control::v1::UpdateServiceResponse> FakeAgent::update_service(
    const control::v1::UpdateServiceRequest& request) {
  SKEP_TRY(refuse);
  auto& service = services.at(request.ref());
  if (service.meta().version() != request.version()) {
    return Error{Code::kConflict, "service was changed since it was read"};
  }
  const model::v1::ServiceSpec wanted =
      request.rollback() ? service.previous_spec() : request.spec();
  if (wanted.task().SerializeAsString() != service.spec().task().SerializeAsString()) {
    service.set_spec_version(++version);
  }
  *service.mutable_previous_spec() = service.spec();
  *service.mutable_spec() = wanted;
  *service.mutable_endpoint()->mutable_ports() = wanted.endpoint().ports();
  service.mutable_meta()->set_version(++version);
  control::v1::UpdateServiceResponse answer;
  *answer.mutable_service() = service;
  return answer;
}

void FakeAgent::serve_services() {
  table.on_sync<control::v1::methods::CreateService>(
      [this](const auto& request) -> Result<control::v1::CreateServiceResponse> {
        SKEP_TRY(refuse);
        model::v1::Service service;
        service.set_id("svc" + std::to_string(services.size() + 1) + "0000000000000000000000");
        service.set_spec_version(++version);
        service.mutable_meta()->set_version(version);
        service.mutable_meta()->set_created_at(1'700'000'000'123'000'000);
        *service.mutable_spec() = request.spec();
        *service.mutable_endpoint()->mutable_spec() = request.spec().endpoint();
        *service.mutable_endpoint()->mutable_ports() = request.spec().endpoint().ports();
        services[service.id()] = service;
        control::v1::CreateServiceResponse answer;
        *answer.mutable_service() = service;
        return answer;
      });
  const auto find = [this](const std::string& ref) -> Result<std::string> {
    for (const auto& [id, service] : services) {
      if (service.spec().name() == ref || id.starts_with(ref)) {
        return id;
      }
    }
    return Error{Code::kNotFound, "service '" + ref + "' not found"};
  };
  table.on_sync<control::v1::methods::GetService>(
      [this, find](const auto& request) -> Result<control::v1::GetServiceResponse> {
        SKEP_TRY_ASSIGN(const std::string id, find(request.ref()));
        control::v1::GetServiceResponse answer;
        *answer.mutable_service() = services[id];
        return answer;
      });
  table.on_sync<control::v1::methods::UpdateService>(
      [this](const auto& request) { return update_service(request); });
  table.on_sync<control::v1::methods::RemoveService>(
      [this, find](const auto& request) -> Result<control::v1::RemoveServiceResponse> {
        SKEP_TRY_ASSIGN(const std::string id, find(request.ref()));
        services.erase(id);
        return control::v1::RemoveServiceResponse();
      });
  table.on_sync<control::v1::methods::ListServices>(
      [this](const auto& request) -> Result<control::v1::ListServicesResponse> {
        std::vector<model::v1::Service> found;
        for (const auto& [id, service] : services) {
          if (has_filter(request.filters(), "name", service.spec().name())) {
            found.push_back(service);
          }
        }
        control::v1::ListServicesResponse answer;
        fill_fake_page(found, page_rows, request, answer, [&](const model::v1::Service& service) {
          *answer.add_services() = service;
          auto& counts = (*answer.mutable_counts())[service.id()];
          counts.set_desired(service.spec().replicated().replicas());
          for (const auto& task : tasks) {
            const bool runs = task.service_id() == service.id() &&
                              task.status().state() == model::v1::TASK_STATE_RUNNING;
            counts.set_running(counts.running() + (runs ? 1 : 0));
          }
        });
        return answer;
      });
  table.on_sync<control::v1::methods::ListTasks>(
      [this](const auto& request) -> Result<control::v1::ListTasksResponse> {
        ++polls;
        tasks_request = request;
        if (on_poll) {
          on_poll(*this);
        }
        std::vector<model::v1::Task> found;
        for (const auto& task : tasks) {
          if (has_filter(request.filters(), "service", task.service_id())) {
            found.push_back(task);
          }
        }
        control::v1::ListTasksResponse answer;
        fill_fake_page(found, page_rows, request, answer,
                       [&](const model::v1::Task& task) { *answer.add_tasks() = task; });
        return answer;
      });
  table.on_sync<control::v1::methods::GetTask>(
      [](const auto& request) -> Result<control::v1::GetTaskResponse> {
        return Error{Code::kNotFound, "task '" + request.ref() + "' not found"};
      });
  table.on_stream<control::v1::methods::ServiceLogs>([this](const auto& request, auto stream) {
    logs_request = request;
    for (const auto& line : log_lines) {
      SKEP_ASSERT(stream.send(line).has_value(), "a few lines fit the window");
    }
    stream.finish(ok());
  });
}

void FakeAgent::serve_nodes() {
  table.on_sync<control::v1::methods::ListNodes>(
      [this](const auto& request) -> Result<control::v1::ListNodesResponse> {
        control::v1::ListNodesResponse answer;
        fill_fake_page(nodes, page_rows, request, answer,
                       [&](const model::v1::Node& node) { *answer.add_nodes() = node; });
        answer.set_self("node1");
        return answer;
      });
  table.on_sync<control::v1::methods::GetNode>(
      [this](const auto& request) -> Result<control::v1::GetNodeResponse> {
        if (request.ref() != "self" && request.ref() != "alpha" && request.ref() != "node1") {
          return Error{Code::kNotFound, "node '" + request.ref() + "' not found"};
        }
        control::v1::GetNodeResponse answer;
        *answer.mutable_node() = nodes.front();
        return answer;
      });
  table.on_sync<control::v1::methods::UpdateNode>(
      [this](const auto& request) -> Result<control::v1::UpdateNodeResponse> {
        *nodes.front().mutable_spec() = request.spec();
        return control::v1::UpdateNodeResponse();
      });
}

void FakeAgent::serve_runtime() {
  table.on_sync<network::v1::methods::List>(
      [this](const auto&) -> Result<network::v1::ListResponse> { return endpoints; });
  table.on_sync<runtime::v1::methods::ListImages>(
      [this](const auto&) -> Result<runtime::v1::ListImagesResponse> {
        runtime::v1::ListImagesResponse answer;
        answer.mutable_images()->Assign(images.begin(), images.end());
        return answer;
      });
  table.on_sync<runtime::v1::methods::InspectImage>(
      [this](const auto& request) -> Result<runtime::v1::InspectImageResponse> {
        for (const auto& image : images) {
          if (std::find(image.tags().begin(), image.tags().end(), request.image()) !=
              image.tags().end()) {
            runtime::v1::InspectImageResponse answer;
            *answer.mutable_image() = image;
            return answer;
          }
        }
        return Error{Code::kNotFound, "image '" + request.image() + "' is not on this node"};
      });
  table.on_sync<runtime::v1::methods::RemoveImage>(
      [](const auto& request) -> Result<runtime::v1::RemoveImageResponse> {
        runtime::v1::RemoveImageResponse answer;
        answer.add_untagged(request.image());
        return answer;
      });
  table.on_stream<runtime::v1::methods::Pull>([this](const auto& request, auto stream) {
    pull_request = request;
    runtime::v1::PullProgress progress;
    progress.set_status("copying");
    (void)stream.send(progress);
    progress.mutable_image()->add_tags("web:1");
    (void)stream.send(progress);
    stream.finish(ok());
  });
  table.on_stream<runtime::v1::methods::Logs>([this](const auto&, auto stream) {
    runtime::v1::LogLine line;
    line.set_timestamp(container_log_time);
    line.set_data("hel");
    line.set_stream(1);
    line.set_partial(true);
    (void)stream.send(line);
    line.set_data("lo");
    line.set_partial(false);
    (void)stream.send(line);
    stream.finish(ok());
  });
  table.on_stream<runtime::v1::methods::Exec>([this](const auto& request, auto stream) {
    exec_start = request.start();
    if (exec_refusal) {
      return stream.finish(*exec_refusal);
    }
    runtime::v1::ExecOutput output;
    output.set_stream(1);
    output.set_data("out\n");
    (void)stream.send(output);
    output.set_stream(2);
    output.set_data("err\n");
    output.set_exited(true);
    output.set_exit_code(7);
    (void)stream.send(output);
    stream.finish(ok());
  });
}

void FakeAgent::serve_volumes() {
  table.on_sync<volume::v1::methods::Create>(
      [this](const auto& request) -> Result<volume::v1::CreateResponse> {
        auto& volume = volumes[request.name()];
        volume.set_name(request.name());
        *volume.mutable_options() = request.options();
        *volume.mutable_labels() = request.labels();
        return volume::v1::CreateResponse();
      });
  table.on_sync<volume::v1::methods::List>([this](const auto&) -> Result<volume::v1::ListResponse> {
    volume::v1::ListResponse answer;
    for (const auto& [name, volume] : volumes) {
      *answer.add_volumes() = volume;
    }
    return answer;
  });
  table.on_sync<volume::v1::methods::Get>(
      [this](const auto& request) -> Result<volume::v1::GetResponse> {
        if (!volumes.contains(request.name())) {
          return Error{Code::kNotFound, "no volume '" + request.name() + "'"};
        }
        volume::v1::GetResponse answer;
        *answer.mutable_volume() = volumes[request.name()];
        return answer;
      });
  table.on_sync<volume::v1::methods::Remove>(
      [this](const auto& request) -> Result<volume::v1::RemoveResponse> {
        volumes.erase(request.name());
        return volume::v1::RemoveResponse();
      });
}

Cli::Cli(FakeAgent& agent) : agent_(agent) {}

Cli::Run Cli::run(std::vector<std::string> words, const std::string& input) {
  std::ostringstream out;
  std::ostringstream err;
  std::istringstream in(input);
  PosixSubprocess real;
  Context context(out, err, in, {loop, random, disk, subprocess != nullptr ? *subprocess : real});
  context.environment = environment;
  context.terminal = terminal;
  context.connect = [this](const std::string&) -> Result<std::unique_ptr<Connection>> {
    return std::unique_ptr<Connection>(std::make_unique<FakeConnection>(loop, agent_));
  };
  Command root("agentctl", "Talks to the agent.");
  add_all_commands(root);
  auto result = run_command_line(root, context, std::move(words));
  if (!result) {
    print_error(context, result.error());
  }
  return {result ? *result : exit_code_of(result.error()), out.str(), err.str()};
}

}  // namespace skep::ctl
