#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/log_flags.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/output/list.h"
#include "core/agentctl/shape/shape.h"
#include "core/agentctl/suggest.h"
#include "core/agentctl/text.h"
#include "skep/plugin.methods.h"

namespace skep::ctl {
namespace {

using plugin::v1::PluginInfo;
constexpr std::chrono::minutes kVerifyDeadline{10};

const ListShape kPlugins{
    "{{.ID}}\t{{.Version}}\t{{.Drivers}}\t{{.Placement}}\t{{.State}}\t{{.Restarts}}\t{{.Reason}}",
    {{"ID", "ID"},
     {"Name", "NAME"},
     {"Version", "VERSION"},
     {"Drivers", "DRIVERS"},
     {"Placement", "PLACEMENT"},
     {"State", "STATE"},
     {"Restarts", "RESTARTS"},
     {"Reason", "REASON"},
     {"Pid", "PID"},
     {"Path", "PATH"},
     {"Enabled", "ENABLED"}}};

Result<std::vector<PluginInfo>> all_plugins(Client& agent) {
  SKEP_TRY_ASSIGN(auto answer, agent.call<plugin::v1::methods::ListPlugins>(kCore, {}));
  std::vector<PluginInfo> plugins(answer.plugins().begin(), answer.plugins().end());
  std::sort(plugins.begin(), plugins.end(),
            [](const PluginInfo& a, const PluginInfo& b) { return a.id() < b.id(); });
  return plugins;
}

// By id, or by the name of one of its drivers.
Result<PluginInfo> find_plugin(Client& agent, const std::string& reference) {
  SKEP_TRY_ASSIGN(const std::vector<PluginInfo> plugins, all_plugins(agent));
  std::vector<std::string_view> known;
  for (const PluginInfo& plugin : plugins) {
    known.push_back(plugin.id());
    if (plugin.id() == reference || std::find(plugin.drivers().begin(), plugin.drivers().end(),
                                              reference) != plugin.drivers().end()) {
      return plugin;
    }
  }
  return Error{Code::kNotFound,
               fmt::format("no such plugin: '{}'{}; 'agentctl plugin ls' lists them", reference,
                           did_you_mean(reference, known))};
}

bool matches(const PluginInfo& plugin, const control::v1::Filter& filter) {
  if (filter.key() == "state") {
    return plugin.state() == filter.value();
  }
  if (filter.key() == "enabled") {
    return (plugin.state() != "disabled") == (filter.value() == "true");
  }
  return std::any_of(plugin.drivers().begin(), plugin.drivers().end(), [&](const std::string& driver) {
    return driver.starts_with(filter.value() + "/");
  });
}

Result<std::vector<control::v1::Filter>> plugin_filters(const std::vector<std::string>& given) {
  SKEP_TRY_ASSIGN(auto filters, parse_filters(given, {"state", "enabled", "kind"}));
  for (auto& filter : filters) {
    if (filter.key() == "kind" && filter.value().ends_with("/1")) {  // as manifests write it
      filter.set_value(filter.value().substr(0, filter.value().size() - 2));
    }
  }
  SKEP_TRY(check_filter_values(filters, "kind",
                               {"consensus", "discovery", "gateway", "network", "runtime", "volume"}));
  SKEP_TRY(check_filter_values(filters, "state",
                               {"running", "starting", "unhealthy", "stopped", "refused", "disabled"}));
  SKEP_TRY(check_filter_values(filters, "enabled", {"true", "false"}));
  return filters;
}

Result<int> list(Context& context, const ListOptions& options) {
  SKEP_TRY_ASSIGN(const auto filters, plugin_filters(options.filters));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const std::vector<PluginInfo> plugins, all_plugins(*agent));
  std::vector<Value> rows;
  for (const PluginInfo& plugin : plugins) {
    if (!matches_filters(filters, [&](const auto& filter) { return matches(plugin, filter); })) {
      continue;
    }
    std::string drivers;
    for (const std::string& driver : plugin.drivers()) {
      drivers += (drivers.empty() ? "" : ",") + driver;
    }
    Value row = Value::object();
    row.set("ID", plugin.id())
        .set("Name", plugin.id())
        .set("Version", plugin.version())
        .set("Drivers", drivers);
    row.set("Placement", plugin.placement())
        .set("State", plugin.state())
        .set("Restarts", plugin.restarts());
    row.set("Reason", options.no_trunc ? plugin.reason() : ellipsis(plugin.reason(), 60))
        .set("Pid", plugin.pid());
    rows.push_back(row.set("Path", plugin.path()).set("Enabled", plugin.state() != "disabled"));
  }
  SKEP_TRY(print_list(context, kPlugins, options, rows));
  return 0;
}

Result<int> inspect(Context& context, const std::string& format,
                    const std::vector<std::string>& references) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  std::vector<Value> objects;
  const int exit_code =
      for_each_reference(context, references, [&](const std::string& reference) -> Status {
        SKEP_TRY_ASSIGN(const PluginInfo plugin, find_plugin(*agent, reference));
        objects.push_back(plugin_shape(plugin));
        return ok();
      });
  SKEP_TRY(print_inspection(context, objects, format, absent_fields()));
  return exit_code;
}

Result<int> set_enabled(Context& context, bool enabled, const std::string& reference) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const PluginInfo plugin, find_plugin(*agent, reference));
  plugin::v1::SetPluginEnabledRequest request;
  request.set_id(plugin.id());
  request.set_enabled(enabled);
  SKEP_TRY(agent->call<plugin::v1::methods::SetPluginEnabled>(kCore, request));
  context.out << plugin.id() << '\n';
  return 0;
}

void print_line(std::ostream& out, const plugin::v1::PluginLogLine& line) {
  constexpr std::string_view kLevels[] = {"trace", "debug", "info", "warn", "error"};
  if (line.at() != 0) {
    out << fmt::format("{} {:<5} ", print_time(line.at()), kLevels[std::min<std::size_t>(line.level(), 4)]);
  }
  out << line.text() << '\n' << std::flush;
}

Result<int> logs(Context& context, const LogFlags& flags, const std::string& reference) {
  SKEP_TRY_ASSIGN(const std::int64_t tail, parse_tail(flags.tail));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const PluginInfo plugin, find_plugin(*agent, reference));
  plugin::v1::PluginLogsRequest request;
  request.set_id(plugin.id());
  request.set_follow(flags.follow);
  request.set_only_new(tail == 0);
  request.set_tail(static_cast<std::uint32_t>(std::clamp<std::int64_t>(tail, 0, UINT32_MAX)));
  SKEP_TRY(agent->stream<plugin::v1::methods::PluginLogs>(
      kCore, request, [&](const plugin::v1::PluginLogLine& line) { print_line(context.out, line); }));
  return 0;
}

// The program that judges plugins: beside us, else in PATH.
std::string plugin_host_program(Context& context) {
  const std::size_t slash = context.program.rfind('/');
  const std::string beside =
      slash == std::string::npos
          ? ""
          : absolute_path(context.program.substr(0, slash) + "/agent-plugin-host");
  return !beside.empty() && context.disk.exists(beside) ? beside : "agent-plugin-host";
}

struct VerifyOptions {
  std::vector<std::string> kinds;
  std::string image;
};

// What agent-plugin-host is asked: "FILE.so" is a plugin file, anything else a program that connects by itself.
Result<std::vector<std::string>> verify_words(Context& context, const VerifyOptions& options,
                                              const std::vector<std::string>& arguments) {
  std::vector<std::string> words;
  for (const std::string& kind : options.kinds) {
    words.insert(words.end(), {"--kind", kind});
  }
  if (!options.image.empty()) {
    words.insert(words.end(), {"--image", options.image});
  }
  if (!arguments.front().ends_with(".so")) {
    words.emplace_back("--verify-program");
    words.insert(words.end(), arguments.begin(), arguments.end());
    return words;
  }
  if (arguments.size() > 1) {
    return Error{Code::kInvalidArgument,
                 fmt::format("'{}' after a plugin file: flags stand before it, and only a program has arguments",
                             arguments[1]),
                 std::string(kUsageReason)};
  }
  const std::string path = absolute_path(arguments.front());
  if (!context.disk.exists(path)) {
    return Error{Code::kNotFound, fmt::format("there is no file '{}'", path)};
  }
  words.insert(words.end(), {"--verify", path});
  return words;
}

// Works without an agent: the plugin runs in a process of its own, never in ours.
Result<int> verify(Context& context, const VerifyOptions& options, const std::vector<std::string>& arguments) {
  SKEP_TRY_ASSIGN(const std::vector<std::string> words, verify_words(context, options, arguments));
  ProcessSpec spec;
  spec.argv = {plugin_host_program(context)};
  spec.argv.insert(spec.argv.end(), words.begin(), words.end());
  for (const auto& [name, value] : context.environment) {
    spec.environment.push_back(fmt::format("{}={}", name, value));
  }
  auto done = context.subprocess.run(spec, kVerifyDeadline);
  if (!done && done.error().code == Code::kNotFound) {
    return Error{Code::kFailedPrecondition,
                 "the program 'agent-plugin-host' is neither beside agentctl nor in PATH: it "
                 "checks plugins"};
  }
  SKEP_TRY_ASSIGN(const ProcessResult result, std::move(done));
  context.out << result.out;
  context.err << result.err;
  return result.exit_code;
}

}  // namespace

void add_plugin_commands(Command& root) {
  auto& plugin = root.add("plugin", "Plugins of this node");
  auto list_options = std::make_shared<ListOptions>();
  auto& ls = plugin.add("ls,list", "List plugins, also refused ones");
  ls.arguments("[OPTIONS]", 0, 0);
  add_list_flags(ls, *list_options, "state, enabled, kind", true);
  ls.run([list_options](Context& context, const auto&) { return list(context, *list_options); });
  auto format = std::make_shared<std::string>();
  plugin.add("inspect", "Show plugins in full")
      .arguments("[OPTIONS] PLUGIN [PLUGIN...]", 1)
      .completes("plugin")
      .text("--format,-f", *format, "string", "'json' or a Go template")
      .run([format](Context& context, const auto& references) {
        return inspect(context, *format, references);
      });
  auto verify_options = std::make_shared<VerifyOptions>();
  plugin.add("verify", "Check that a plugin keeps the rules of its kinds")
      .arguments("[OPTIONS] FILE.so | PROGRAM [ARG...]", 1)
      .stop_at_first_argument()
      .list("--kind", verify_options->kinds, "It must serve this kind, as \"volume/1\"")
      .text("--image", verify_options->image, "string",
            "What a runtime with images pulls and runs: a reference or docker-archive:FILE with /bin/sh")
      .run([verify_options](Context& context, const auto& arguments) {
        return verify(context, *verify_options, arguments);
      });
  plugin.add("enable", "Start a disabled plugin")
      .arguments("PLUGIN", 1, 1)
      .completes("plugin")
      .run([](Context& context, const auto& arguments) {
        return set_enabled(context, true, arguments.front());
      });
  plugin.add("disable", "Stop a plugin until 'plugin enable' or the next start of the agent")
      .arguments("PLUGIN", 1, 1)
      .completes("plugin")
      .run([](Context& context, const auto& arguments) {
        return set_enabled(context, false, arguments.front());
      });
  auto log_flags = std::make_shared<LogFlags>();
  auto& logs_verb = plugin.add("logs", "Print what a plugin logged");
  logs_verb.arguments("[OPTIONS] PLUGIN", 1, 1).completes("plugin");
  add_tail_flags(logs_verb, *log_flags, "Lines from the end (default all)");
  logs_verb.run([log_flags](Context& context, const auto& arguments) {
    return logs(context, *log_flags, arguments.front());
  });
}

}  // namespace skep::ctl
