#include "core/agentctl/nouns/container.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
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
#include "skep/plugin.methods.h"
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
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.CreatedSince}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
    {{"ID", "CONTAINER ID"},
     {"Image", "IMAGE"},
     {"Command", "COMMAND"},
     {"CreatedSince", "CREATED"},
     {"RunningFor", "CREATED"},
     {"CreatedAt", "CREATED AT"},
     {"Status", "STATUS"},
     {"State", "STATE"},
     {"Ports", "PORTS"},
     {"Names", "NAMES"},
     {"Runtime", "RUNTIME"},
     {"Labels", "LABELS"}},
    "ID",
    "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n"
    "state:{{pad .State 1 0}}\nstatus:{{pad .Status 1 0}}\nnames: {{.Names}}\nlabels:{{pad .Labels 1 0}}\n"
    "ports:{{pad .Ports 1 0}}\n",
    "container_id: {{.ID}}"};

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
  return matches_filters(filters, [&](const auto& filter) { return matches(container, filter); });
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

// A list lacks the containers of a runtime that cannot start; the agent waits for those that can.
void warn_of_missing_runtimes(Context& context, const std::vector<plugin::v1::PluginInfo>& plugins) {
  for (const auto& plugin : plugins) {
    const bool is_runtime = std::any_of(
        plugin.drivers().begin(), plugin.drivers().end(),
        [](const std::string& driver) { return driver.starts_with("runtime/"); });
    if (is_runtime && (plugin.state() == "refused" || plugin.state() == "stopped")) {
      context.err << fmt::format("WARNING: plugin '{}' is {}: {}; its containers are not listed\n",
                                 plugin.id(), plugin.state(), plugin.reason());
    }
  }
}

// Ports of a container that ended are nobody's any more.
std::string ports_of(const ContainerInfo& container, const std::map<std::string, std::string>& of_tasks) {
  const auto task = container.labels().find("com.docker.swarm.task.id");
  if (task == container.labels().end() || container.state() != runtime::v1::CONTAINER_STATE_RUNNING) {
    return "";
  }
  const auto ports = of_tasks.find(task->second);
  return ports == of_tasks.end() ? "" : ports->second;
}

struct LsOptions {
  ListOptions list;
  bool all = false;
  bool latest = false;
  std::size_t last = 0;  ///< the newest so many, ended ones too; 0: no bound
};

// Docker's number of --last: -1, its default, and 0 bound nothing.
Status parse_last(const std::string& text, LsOptions& options) {
  const auto number = text == "-1" ? Result<std::uint64_t>(0) : parse_count(text);
  if (!number) {
    return Error{Code::kInvalidArgument, fmt::format("'{}' is not a number of containers, for example 5", text),
                 std::string(kUsageReason)};
  }
  options.last = *number;
  return ok();
}

Result<std::vector<control::v1::Filter>> container_filters(const std::vector<std::string>& given) {
  SKEP_TRY_ASSIGN(auto filters, parse_filters(given, {"id", "name", "status", "label"}));
  SKEP_TRY(check_filter_values(filters, "status",  // no container is ever in the last four, which Docker has
                               {"created", "running", "exited", "paused", "restarting", "removing", "dead"}));
  return filters;
}

Result<int> list(Context& context, const LsOptions& options) {
  SKEP_TRY_ASSIGN(const auto filters, container_filters(options.list.filters));
  const std::size_t bound = options.latest ? 1 : options.last;
  const bool all = options.all || bound > 0 || std::any_of(filters.begin(), filters.end(),
                                              [](const auto& f) { return f.key() == "status"; });
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(std::vector<ContainerInfo> containers, all_containers(*agent, all));
  SKEP_TRY_ASSIGN(const auto answer, agent->call<plugin::v1::methods::ListPlugins>(kCore, {}));
  const std::vector<plugin::v1::PluginInfo> plugins(answer.plugins().begin(), answer.plugins().end());
  warn_of_missing_runtimes(context, plugins);
  const auto ports = options.list.quiet || containers.empty() ? std::map<std::string, std::string>()
                                                              : published_ports(context, *agent, plugins);
  std::sort(containers.begin(), containers.end(),
            [](const ContainerInfo& a, const ContainerInfo& b) {
              return a.created_at() > b.created_at();
            });
  std::vector<Value> rows;
  for (const ContainerInfo& container : containers) {
    if (matches_all(container, filters) && (bound == 0 || rows.size() < bound)) {
      Value row = container_row(container, context.clock.wall_now(), options.list.no_trunc);
      rows.push_back(row.set("Ports", ports_of(container, ports)));
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

struct LogsOptions {
  LogFlags flags;
  std::string until;
};

// What was written after this moment is not printed; a moment that is over leaves nothing to follow.
Result<WallTime> parse_until(Context& context, const LogsOptions& options, runtime::v1::LogsRequest& request) {
  if (options.until.empty()) {
    return std::numeric_limits<WallTime>::max();
  }
  SKEP_TRY_ASSIGN(const WallTime until, parse_moment_flag(context, "--until", options.until));
  if (request.follow() && until > context.clock.wall_now()) {
    return Error{Code::kUnimplemented,
                 fmt::format("--follow up to '{}', which is still to come, is not there yet: leave --follow out",
                             options.until),
                 "NOT_YET"};
  }
  request.set_follow(false);
  return until;
}

Result<int> logs(Context& context, const LogsOptions& options, const std::string& reference) {
  const LogFlags& flags = options.flags;
  runtime::v1::LogsRequest request;
  SKEP_TRY(fill_log_request(context, flags, request));
  SKEP_TRY_ASSIGN(const WallTime until, parse_until(context, options, request));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const ContainerInfo container, find_container(*agent, reference));
  request.set_container_id(container.container_id());
  bool line_goes_on[3] = {};
  SKEP_TRY(agent->stream<runtime::v1::methods::Logs>(
      runtime_target(container), request, [&](const runtime::v1::LogLine& line) {
        if (line.timestamp() > until) {
          return;
        }
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
  auto options = std::make_shared<LogsOptions>();
  auto& verb = parent.add("logs", "Print what a container of this node wrote");
  verb.arguments("[OPTIONS] CONTAINER", 1, 1).completes("container");
  add_log_flags(verb, options->flags, "Number of lines from the end (default all)");
  verb.text("--until", options->until, "string", "Up to this time: RFC 3339, or a duration before now (10m)");
  verb.later("--details", "", "lines have no attributes as long as there are no log options");
  verb.run([options](Context& context, const auto& arguments) {
    return logs(context, *options, arguments.front());
  });
}

void add_list(Command& parent, const char* names) {
  auto options = std::make_shared<LsOptions>();
  auto& ls = parent.add(names, "List the containers of this node");
  ls.arguments("[OPTIONS]", 0, 0);
  add_list_flags(ls, options->list, "id, name, status, label", true);
  ls.toggle("--all,-a", options->all, "Ended ones too");
  ls.parsed("--last,-n", "int", "The newest so many, ended ones too",
            [options](const std::string& text) { return parse_last(text, *options); });
  ls.toggle("--latest,-l", options->latest, "The newest one, ended or not");
  ls.later("--size,-s", "", "runtimes do not tell how much containers wrote");
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
  add_later_verbs(container);
  add_list(root, "ps");
  add_container_exec(root);
  add_logs(root);
}

}  // namespace skep::ctl
