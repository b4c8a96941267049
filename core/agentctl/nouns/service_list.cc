#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <ostream>
#include <tuple>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/errors.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/nouns/service.h"
#include "core/agentctl/output/list.h"
#include "core/agentctl/shape/shape.h"
#include "core/agentctl/text.h"
#include "core/model/names.h"
#include "core/model/task_state.h"
#include "skep/control.methods.h"

namespace skep::ctl {
namespace {

using model::v1::Service;
using model::v1::Task;

const ListShape kServices{"{{.ID}}\t{{.Name}}\t{{.Mode}}\t{{.Replicas}}\t{{.Image}}\t{{.Ports}}",
                          {{"ID", "ID"},
                           {"Name", "NAME"},
                           {"Mode", "MODE"},
                           {"Replicas", "REPLICAS"},
                           {"Image", "IMAGE"},
                           {"Ports", "PORTS"}},
                          "ID",
                          "id: {{.ID}}\nname: {{.Name}}\nmode: {{.Mode}}\nreplicas: {{.Replicas}}\n"
                          "image: {{.Image}}\nports: {{.Ports}}\n",
                          "id: {{.ID}}"};

const ListShape kTasks{
    "{{.ID}}\t{{.Name}}\t{{.Image}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}\t{"
    "{.Ports}}",
    {{"ID", "ID"},
     {"Name", "NAME"},
     {"Image", "IMAGE"},
     {"Node", "NODE"},
     {"DesiredState", "DESIRED STATE"},
     {"CurrentState", "CURRENT STATE"},
     {"Error", "ERROR"},
     {"Ports", "PORTS"}},
    "ID",
    "id: {{.ID}}\nname: {{.Name}}\nimage: {{.Image}}\nnode: {{.Node}}\ndesired_state: {{.DesiredState}}\n"
    "current_state: {{.CurrentState}}\nerror: {{.Error}}\nports: {{.Ports}}\n",
    "id: {{.ID}}"};

std::string replicas_text(const Service& service, const control::v1::ServiceCounts& counts) {
  std::string text = fmt::format("{}/{}", counts.running(), counts.desired());
  if (service.spec().has_replicated_job()) {
    text += fmt::format(" ({}/{} completed)", counts.completed(),
                        service.spec().replicated_job().total_completions());
  } else if (service.spec().has_global_job()) {
    text += fmt::format(" ({}/{} completed)", counts.completed(),
                        counts.completed() + counts.desired());
  } else if (const auto max = service.spec().task().placement().max_replicas_per_node(); max > 0) {
    text += fmt::format(" (max {} per node)", max);
  }
  return text;
}

Result<int> list_services(Context& context, const ListOptions& options) {
  control::v1::ListServicesRequest request;
  SKEP_TRY(add_filters(request, options.filters, {"id", "name", "label", "mode"}));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(auto answer, agent->list<control::v1::methods::ListServices>(kCore, request));
  std::vector<Service> services(answer.services().begin(), answer.services().end());
  std::sort(services.begin(), services.end(), [](const Service& a, const Service& b) {
    return model::natural_less(a.spec().name(), b.spec().name());
  });
  std::vector<Value> rows;
  for (const Service& service : services) {
    Value row = Value::object();
    row.set("ID", shown_id(service.id(), options.no_trunc)).set("Name", service.spec().name());
    row.set("Mode", service_mode_name(service.spec()));
    row.set("Replicas", replicas_text(service, answer.counts().count(service.id()) > 0
                                                   ? answer.counts().at(service.id())
                                                   : control::v1::ServiceCounts()));
    row.set("Image", shown_image(service.spec().task().container().image()));
    row.set("Ports", ingress_ports_text(service.endpoint()));
    row.set("Label",
            label_function({service.spec().labels().begin(), service.spec().labels().end()}));
    rows.push_back(std::move(row));
  }
  SKEP_TRY(print_list(context, kServices, options, rows));
  return 0;
}

// "web.1", "web.NODEID" for global services; the id when the service is gone.
std::string task_name(const Task& task) {
  const std::string& service =
      task.service_name().empty() ? task.service_id() : task.service_name();
  return fmt::format("{}.{}", service,
                     task.slot() != 0 ? std::to_string(task.slot()) : task.node_id());
}

std::string current_state(Context& context, const Task& task) {
  std::string state(model::task_state_name(task.status().state()));
  state.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(state.front())));
  std::string age = human_duration(Duration(context.clock.wall_now() - task.status().timestamp()));
  age.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(age.front())));
  return fmt::format("{} {} ago", state, age);
}

// What the node says went wrong; for a task that waits, why the managers could not place it.
std::string task_error(const Task& task, bool no_trunc) {
  std::string error = task.status().error();
  std::replace(error.begin(), error.end(), '\n', ' ');
  return error.empty() ? "" : fmt::format("\"{}\"", no_trunc ? error : ellipsis(error, 30));
}

Value task_row(Context& context, const Task& task, std::string name,
               const std::map<std::string, std::string>& nodes, const ListOptions& options) {
  const auto node = nodes.find(task.node_id());
  Value row = Value::object();
  row.set("ID", shown_id(task.id(), options.no_trunc)).set("Name", std::move(name));
  row.set("Image", options.no_trunc ? task.spec().container().image()
                                    : shown_image(task.spec().container().image()));
  row.set("Node", node == nodes.end() ? task.node_id() : node->second);
  std::string desired(model::task_state_name(task.desired_state()));
  desired.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(desired.front())));
  row.set("DesiredState", desired).set("CurrentState", current_state(context, task));
  return row.set("Error", task_error(task, options.no_trunc)).set("Ports", host_ports_text(task));
}

struct PsOptions {
  ListOptions list;
  bool no_resolve = false;
};

Result<int> list_tasks(Context& context, const PsOptions& options,
                       const std::vector<std::string>& references) {
  control::v1::ListTasksRequest request;
  SKEP_TRY(
      add_filters(request, options.list.filters, {"id", "name", "node", "desired-state", "label"}));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  std::size_t found = 0;
  const int exit_code =
      for_each_reference(context, references, [&](const std::string& reference) -> Status {
        SKEP_TRY_ASSIGN(const Service service, get_service(*agent, reference));
        auto& filter = *request.add_filters();
        filter.set_key("service");
        filter.set_value(service.id());
        ++found;
        return ok();
      });
  if (found == 0) {
    return exit_code;
  }
  SKEP_TRY_ASSIGN(auto answer, agent->list<control::v1::methods::ListTasks>(kCore, request));
  SKEP_TRY_ASSIGN(const auto nodes, node_names(*agent, !options.no_resolve));
  SKEP_TRY(
      print_tasks(context, {answer.tasks().begin(), answer.tasks().end()}, nodes, options.list));
  return exit_code;
}

}  // namespace

Status print_tasks(Context& context, std::vector<Task> tasks,
                   const std::map<std::string, std::string>& nodes, const ListOptions& options) {
  std::stable_sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) {
    if (a.service_name() != b.service_name()) {
      return model::natural_less(a.service_name(), b.service_name());
    }
    return std::tuple(a.slot(), a.slot() == 0 ? a.node_id() : "", -a.meta().created_at(),
                      -static_cast<std::int64_t>(a.meta().version())) <
           std::tuple(b.slot(), b.slot() == 0 ? b.node_id() : "", -b.meta().created_at(),
                      -static_cast<std::int64_t>(b.meta().version()));
  });
  std::vector<Value> rows;
  std::string previous;
  const bool tree = options.format.empty() || options.format.starts_with("table");
  for (const Task& task : tasks) {
    const std::string name = task_name(task);
    rows.push_back(
        task_row(context, task, tree && name == previous ? " \\_ " + name : name, nodes, options));
    previous = name;
  }
  return print_list(context, kTasks, options, rows);
}

void add_service_list(Command& service) {
  auto list = std::make_shared<ListOptions>();
  auto& ls = service.add("ls,list", "List services");
  ls.arguments("[OPTIONS]", 0, 0);
  add_list_flags(ls, *list, "id, name, label, mode", true);
  ls.run([list](Context& context, const auto&) { return list_services(context, *list); });

  auto options = std::make_shared<PsOptions>();
  auto& ps = service.add("ps", "List the tasks of services");
  ps.arguments("[OPTIONS] SERVICE [SERVICE...]", 1).completes("service");
  add_list_flags(ps, options->list, "id, name, node, desired-state", true);
  ps.toggle("--no-resolve", options->no_resolve, "Print node ids instead of names");
  ps.run([options](Context& context, const auto& references) {
    return list_tasks(context, *options, references);
  });
}

}  // namespace skep::ctl
