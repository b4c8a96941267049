#include "core/agentctl/nouns/container.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/log_flags.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/output/list.h"
#include "core/agentctl/shape/shape.h"
#include "core/agentctl/text.h"
#include "core/model/names.h"
#include "skep/agent.methods.h"
#include "skep/runtime.methods.h"

namespace skep::ctl {

using runtime::v1::ContainerInfo;

std::string runtime_target(const ContainerInfo& container) {
  return "runtime/" + (container.runtime().empty() ? std::string("oci") : container.runtime());
}

namespace {

// The agent's own record of the task, in a form that says nothing to people.
constexpr std::string_view kRecordLabel = "skep.record";

const ListShape kContainers{
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.CreatedSince}}\t{{.Status}}\t{{.Names}}",
    {{"ID", "CONTAINER ID"},
     {"Image", "IMAGE"},
     {"Command", "COMMAND"},
     {"CreatedSince", "CREATED"},
     {"RunningFor", "CREATED"},
     {"CreatedAt", "CREATED AT"},
     {"Status", "STATUS"},
     {"State", "STATE"},
     {"Names", "NAMES"},
     {"Runtime", "RUNTIME"},
     {"Labels", "LABELS"}}};

Result<std::vector<ContainerInfo>> all_containers(Client& agent, bool all) {
  agent::v1::ListContainersRequest request;
  request.set_all(all);
  SKEP_TRY_ASSIGN(auto answer, agent.call<agent::v1::methods::ListContainers>(kCore, request));
  return std::vector<ContainerInfo>(answer.containers().begin(), answer.containers().end());
}

std::string_view state_word(const ContainerInfo& container) {
  return container.state() == runtime::v1::CONTAINER_STATE_RUNNING   ? "running"
         : container.state() == runtime::v1::CONTAINER_STATE_CREATED ? "created"
                                                                     : "exited";
}

std::string status_text(const ContainerInfo& container, WallTime now) {
  const auto since = [now](WallTime then) { return human_duration(Duration(now - then)); };
  if (container.state() == runtime::v1::CONTAINER_STATE_RUNNING) {
    return "Up " + since(container.started_at());
  }
  if (container.state() == runtime::v1::CONTAINER_STATE_CREATED) {
    return "Created";
  }
  return fmt::format("Exited ({}) {} ago{}", container.exit().exit_code(),
                     since(container.exit().finished_at()),
                     container.exit().oom_killed() ? " (out of memory)" : "");
}

bool matches(const ContainerInfo& container, const control::v1::Filter& filter) {
  const std::string& value = filter.value();
  if (filter.key() == "id") {
    return container.container_id().starts_with(value);
  }
  if (filter.key() == "name") {
    return container.name().find(value) != std::string::npos;
  }
  if (filter.key() == "status") {
    return state_word(container) == value;
  }
  const std::size_t equals = value.find('=');
  const auto it = container.labels().find(value.substr(0, equals));
  return it != container.labels().end() &&
         (equals == std::string::npos || it->second == value.substr(equals + 1));
}

bool matches_all(const ContainerInfo& container, const std::vector<control::v1::Filter>& filters) {
  return std::all_of(filters.begin(), filters.end(), [&](const auto& one) {
    return std::any_of(filters.begin(), filters.end(), [&](const auto& other) {
      return other.key() == one.key() && matches(container, other);
    });
  });
}

Value container_row(const ContainerInfo& container, WallTime now, bool no_trunc) {
  std::string command;
  for (const std::string& word : container.command()) {
    command += (command.empty() ? "" : " ") + word;
  }
  command = fmt::format("\"{}\"", no_trunc ? command : ellipsis(command, 20));
  const std::string created = human_duration(Duration(now - container.created_at())) + " ago";
  Value row = Value::object();
  row.set("ID", shown_id(container.container_id(), no_trunc))
      .set("Image", container.image())
      .set("Command", command);
  row.set("CreatedSince", created)
      .set("RunningFor", created)
      .set("CreatedAt", print_time_long(container.created_at()));
  row.set("Status", status_text(container, now))
      .set("State", state_word(container))
      .set("Names", container.name());
  row.set("Runtime", container.runtime());
  std::string labels;
  for (const auto& [key, value] :
       std::map<std::string, std::string>(container.labels().begin(), container.labels().end())) {
    if (key != kRecordLabel) {
      labels += fmt::format("{}{}={}", labels.empty() ? "" : ",", key, value);
    }
  }
  return row.set("Labels", labels)
      .set("Label", label_function({container.labels().begin(), container.labels().end()}));
}

struct LsOptions {
  ListOptions list;
  bool all = false;
};

Result<int> list(Context& context, const LsOptions& options) {
  SKEP_TRY_ASSIGN(const auto filters,
                  parse_filters(options.list.filters, {"id", "name", "status", "label"}));
  const bool all = options.all || std::any_of(filters.begin(), filters.end(),
                                              [](const auto& f) { return f.key() == "status"; });
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(std::vector<ContainerInfo> containers, all_containers(*agent, all));
  std::sort(containers.begin(), containers.end(),
            [](const ContainerInfo& a, const ContainerInfo& b) {
              return a.created_at() > b.created_at();
            });
  std::vector<Value> rows;
  for (const ContainerInfo& container : containers) {
    if (matches_all(container, filters)) {
      rows.push_back(container_row(container, context.clock.wall_now(), options.list.no_trunc));
    }
  }
  SKEP_TRY(print_list(context, kContainers, options.list, rows));
  return 0;
}

Result<int> inspect(Context& context, const std::string& format,
                    const std::vector<std::string>& references) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  std::vector<Value> objects;
  const int exit_code =
      for_each_reference(context, references, [&](const std::string& reference) -> Status {
        SKEP_TRY_ASSIGN(const ContainerInfo container, find_container(*agent, reference));
        objects.push_back(container_shape(container));
        return ok();
      });
  SKEP_TRY(print_inspection(context, objects, format, absent_fields()));
  return exit_code;
}

Result<int> logs(Context& context, const LogFlags& flags, const std::string& reference) {
  runtime::v1::LogsRequest request;
  SKEP_TRY(fill_log_request(context, flags, request));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const ContainerInfo container, find_container(*agent, reference));
  request.set_container_id(container.container_id());
  bool line_goes_on[3] = {};
  SKEP_TRY(agent->stream<runtime::v1::methods::Logs>(
      runtime_target(container), request, [&](const runtime::v1::LogLine& line) {
        const bool errors = line.stream() == 2;
        std::ostream& out = errors ? context.err : context.out;
        bool& goes_on = line_goes_on[errors ? 2 : 1];
        if (flags.timestamps && !goes_on) {
          out << print_time(line.timestamp()) << ' ';
        }
        out << line.data() << (line.partial() ? "" : "\n") << std::flush;
        goes_on = line.partial();
      }));
  return 0;
}

void add_logs(Command& parent) {
  auto flags = std::make_shared<LogFlags>();
  auto& verb = parent.add("logs", "Print what a container of this node wrote");
  verb.arguments("[OPTIONS] CONTAINER", 1, 1).completes("container");
  add_log_flags(verb, *flags, "Number of lines from the end (default all)");
  verb.run([flags](Context& context, const auto& arguments) {
    return logs(context, *flags, arguments.front());
  });
}

void add_list(Command& parent, const char* names) {
  auto options = std::make_shared<LsOptions>();
  auto& ls = parent.add(names, "List the containers of this node");
  ls.arguments("[OPTIONS]", 0, 0);
  add_list_flags(ls, options->list, "id, name, status, label", true);
  ls.toggle("--all,-a", options->all, "Ended ones too");
  ls.run([options](Context& context, const auto&) { return list(context, *options); });
}

}  // namespace

Result<ContainerInfo> find_container(Client& agent, const std::string& reference) {
  SKEP_TRY_ASSIGN(const std::vector<ContainerInfo> containers, all_containers(agent, true));
  std::vector<model::Named> names;
  for (const ContainerInfo& container : containers) {
    names.push_back({container.container_id(), container.name()});
  }
  auto index = model::resolve_reference(reference, names, "container");
  if (!index && index.error().code == Code::kNotFound) {
    return Error{
        Code::kNotFound,
        fmt::format("no such container on this node: '{}'; 'agentctl container ls -a' lists them",
                    reference)};
  }
  SKEP_TRY_ASSIGN(const std::size_t found, std::move(index));
  return containers[found];
}

void add_container_commands(Command& root) {
  auto& container = root.add("container", "Containers of this node");
  add_list(container, "ls,list,ps");
  add_container_exec(container);
  add_logs(container);
  auto format = std::make_shared<std::string>();
  container.add("inspect", "Show containers in full")
      .arguments("[OPTIONS] CONTAINER [CONTAINER...]", 1)
      .completes("container")
      .text("--format,-f", *format, "string", "'json' or a Go template")
      .run([format](Context& context, const auto& references) {
        return inspect(context, *format, references);
      });
  add_list(root, "ps");
  add_container_exec(root);
}

}  // namespace skep::ctl
