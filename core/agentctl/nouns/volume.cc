#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <ostream>

#include "core/agentctl/command.h"
#include "core/agentctl/context.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/output/list.h"
#include "core/agentctl/shape/shape.h"
#include "core/model/ids.h"
#include "core/model/names.h"
#include "skep/agent.methods.h"
#include "skep/volume.methods.h"

namespace skep::ctl {
namespace {

using volume::v1::Volume;
constexpr std::string_view kKind = "volume/";
constexpr const char* kClusterVolumes = "volumes belong to one node; those of a whole cluster come with a later version";

const ListShape kVolumes{"{{.Driver}}\t{{.Name}}",
                         {{"Driver", "DRIVER"},
                          {"Name", "VOLUME NAME"},
                          {"Mountpoint", "MOUNTPOINT"},
                          {"Scope", "SCOPE"},
                          {"Labels", "LABELS"},
                          {"Links", "LINKS"},
                          {"Size", "SIZE"}},
                         "Name",
                         "name: {{.Name}}\ndriver: {{.Driver}}\n",
                         "name: {{.Name}}"};

/// A volume and the driver that has it; the driver's own word for itself may be empty.
struct Found {
  std::string target;
  Volume volume;
};

Result<std::vector<std::string>> volume_drivers(Client& agent) {
  SKEP_TRY_ASSIGN(const auto info, agent.call<agent::v1::methods::Info>(kCore, {}));
  std::vector<std::string> targets;
  for (const std::string& driver : info.description().engine().drivers()) {
    if (driver.starts_with(kKind)) {
      targets.push_back(driver);
    }
  }
  if (targets.empty()) {
    targets.emplace_back("volume/local");  // not part of a swarm yet: the driver every node has
  }
  return targets;
}

Result<std::vector<Found>> all_volumes(Context& context, Client& agent) {
  SKEP_TRY_ASSIGN(const std::vector<std::string> targets, volume_drivers(agent));
  std::vector<Found> found;
  for (const std::string& target : targets) {
    auto answer = agent.call<volume::v1::methods::List>(target, {});
    if (!answer) {
      context.err << fmt::format("Warning: volumes of driver '{}' are missing here: {}\n",
                                 target.substr(kKind.size()), answer.error().message);
      continue;
    }
    for (const Volume& volume : answer->volumes()) {
      found.push_back({target, volume});
      if (volume.driver().empty()) {
        found.back().volume.set_driver(target.substr(kKind.size()));
      }
    }
  }
  return found;
}

Result<Found> find_volume(Client& agent, const std::string& name) {
  SKEP_TRY_ASSIGN(const std::vector<std::string> targets, volume_drivers(agent));
  for (const std::string& target : targets) {
    volume::v1::GetRequest request;
    request.set_name(name);
    auto answer = agent.call<volume::v1::methods::Get>(target, request);
    if (answer) {
      Found found{target, answer->volume()};
      if (found.volume.driver().empty()) {
        found.volume.set_driver(target.substr(kKind.size()));
      }
      return found;
    }
    if (answer.error().code != Code::kNotFound) {
      return std::move(answer).error();
    }
  }
  return Error{Code::kNotFound,
               fmt::format("no such volume: '{}'; 'agentctl volume ls' lists them", name)};
}

bool matches(const Volume& volume, const control::v1::Filter& filter) {
  if (filter.key() == "name") {
    return volume.name().find(filter.value()) != std::string::npos;
  }
  if (filter.key() == "driver") {
    return volume.driver() == filter.value();
  }
  if (filter.key() == "dangling") {
    return (volume.mounts() == 0) == (filter.value() == "true" || filter.value() == "1");
  }
  const std::size_t equals = filter.value().find('=');
  const auto it = volume.labels().find(filter.value().substr(0, equals));
  return it != volume.labels().end() &&
         (equals == std::string::npos || it->second == filter.value().substr(equals + 1));
}

bool matches_all(const Volume& volume, const std::vector<control::v1::Filter>& filters) {
  return matches_filters(filters, [&](const auto& filter) { return matches(volume, filter); });
}

Result<int> list(Context& context, const ListOptions& options) {
  SKEP_TRY_ASSIGN(const auto filters,
                  parse_filters(options.filters, {"dangling", "driver", "label", "name"}));
  SKEP_TRY(check_filter_values(filters, "dangling", {"true", "false", "1", "0"}));
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(std::vector<Found> found, all_volumes(context, *agent));
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return model::natural_less(a.volume.name(), b.volume.name());
  });
  std::vector<Value> rows;
  for (const Found& one : found) {
    if (!matches_all(one.volume, filters)) {
      continue;
    }
    Value row = Value::object();
    row.set("Driver", one.volume.driver())
        .set("Name", one.volume.name())
        .set("Mountpoint", one.volume.mountpoint());
    row.set("Scope", "local").set("Links", one.volume.mounts()).set("Size", "N/A");
    std::string labels;
    for (const auto& [key, value] : std::map<std::string, std::string>(one.volume.labels().begin(),
                                                                       one.volume.labels().end())) {
      labels += fmt::format("{}{}={}", labels.empty() ? "" : ",", key, value);
    }
    row.set("Labels", labels)
        .set("Label", label_function({one.volume.labels().begin(), one.volume.labels().end()}));
    rows.push_back(std::move(row));
  }
  SKEP_TRY(print_list(context, kVolumes, options, rows));
  return 0;
}

struct CreateOptions {
  std::string driver = "local";
  std::vector<std::string> options;
  std::vector<std::string> labels;
};

Result<int> create(Context& context, const CreateOptions& options,
                   const std::vector<std::string>& arguments) {
  volume::v1::CreateRequest request;
  request.set_name(arguments.empty() ? model::new_container_id(context.random) : arguments.front());
  SKEP_TRY(model::validate_volume_name(request.name()));
  for (const std::string& text : options.options) {
    SKEP_TRY_ASSIGN(const auto pair, parse_pair(text));
    (*request.mutable_options())[pair.first] = pair.second;
  }
  for (const std::string& text : options.labels) {
    SKEP_TRY_ASSIGN(const auto pair, parse_pair(text));
    (*request.mutable_labels())[pair.first] = pair.second;
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  // Every verb but this one knows a volume by its name alone.
  if (const auto known = find_volume(*agent, request.name()); known && known->target != std::string(kKind) + options.driver) {
    return Error{Code::kAlreadyExists,
                 fmt::format("volume '{}' exists with driver '{}': remove it first or choose another name",
                             request.name(), known->target.substr(kKind.size())),
                 "NAME_IN_USE"};
  }
  SKEP_TRY(agent->call<volume::v1::methods::Create>(std::string(kKind) + options.driver, request));
  context.out << request.name() << '\n';
  return 0;
}

Result<int> inspect(Context& context, const std::string& format,
                    const std::vector<std::string>& names) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  std::vector<Value> objects;
  const int exit_code = for_each_reference(context, names, [&](const std::string& name) -> Status {
    SKEP_TRY_ASSIGN(const Found found, find_volume(*agent, name));
    objects.push_back(volume_shape(found.volume));
    return ok();
  });
  SKEP_TRY(print_inspection(context, objects, format, absent_fields()));
  return exit_code;
}

Status remove_one(Client& agent, const Found& found, bool force) {
  volume::v1::RemoveRequest request;
  request.set_name(found.volume.name());
  request.set_force(force);
  SKEP_TRY(agent.call<volume::v1::methods::Remove>(found.target, request));
  return ok();
}

Result<int> remove(Context& context, bool force, const std::vector<std::string>& names) {
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  return for_each_reference(context, names, [&](const std::string& name) -> Status {
    auto found = find_volume(*agent, name);
    if (!found && !(force && found.error().code == Code::kNotFound)) {
      return std::move(found).error();
    }
    if (found) {
      SKEP_TRY(remove_one(*agent, *found, force));
    }
    context.out << name << '\n';
    return ok();
  });
}

struct PruneOptions {
  bool force = false;
  bool all = false;
  std::vector<std::string> filters;
};

// Without --all only volumes nobody named: 64 hexadecimal digits.
bool is_anonymous(const std::string& name) {
  return name.size() == model::kContainerIdLength &&
         name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Result<int> prune(Context& context, const PruneOptions& options) {
  SKEP_TRY_ASSIGN(const auto filters, parse_filters(options.filters, {"label"}));
  if (!options.force) {
    context.out << fmt::format(
        "WARNING! This removes all {}volumes of this node that no container uses.\n",
        options.all ? "" : "unnamed ");
    if (!confirmed(context, "Are you sure you want to continue?")) {
      return 0;
    }
  }
  SKEP_TRY_ASSIGN(Client * agent, context.agent());
  SKEP_TRY_ASSIGN(const std::vector<Found> found, all_volumes(context, *agent));
  std::size_t removed = 0;
  int exit_code = 0;
  for (const Found& one : found) {
    if (one.volume.mounts() > 0 || !matches_all(one.volume, filters) ||
        (!options.all && !is_anonymous(one.volume.name()))) {
      continue;
    }
    exit_code = std::max(
        exit_code,
        for_each_reference(context, {one.volume.name()}, [&](const std::string& name) -> Status {
          SKEP_TRY(remove_one(*agent, one, false));
          context.out << (removed++ == 0 ? "Deleted Volumes:\n" : "") << name << '\n';
          return ok();
        }));
  }
  context.out << fmt::format("{}{} volume{} removed\n", removed > 0 ? "\n" : "", removed,
                             removed == 1 ? "" : "s");
  return exit_code;
}

}  // namespace

void add_volume_commands(Command& root) {
  auto& volume = root.add("volume", "Volumes of this node");
  auto create_options = std::make_shared<CreateOptions>();
  auto& create_verb = volume.add("create", "Create a volume");
  for (const char* flag : {"--availability", "--group", "--limit-bytes", "--required-bytes", "--scope", "--secret",
                           "--sharing", "--topology-preferred", "--topology-required", "--type"}) {
    create_verb.later(flag, "string", kClusterVolumes);
  }
  create_verb.arguments("[OPTIONS] [VOLUME]", 0, 1)
      .text("--driver,-d", create_options->driver, "string", "Volume driver (default local)")
      .list("--opt,-o", create_options->options, "Option of the driver: KEY=VALUE")
      .list("--label", create_options->labels, "Label: KEY=VALUE")
      .run([create_options](Context& context, const auto& arguments) {
        return create(context, *create_options, arguments);
      });
  auto list_options = std::make_shared<ListOptions>();
  auto& ls = volume.add("ls,list", "List volumes");
  ls.arguments("[OPTIONS]", 0, 0);
  add_list_flags(ls, *list_options, "dangling, driver, label, name");
  ls.later("--cluster", "", kClusterVolumes);
  ls.run([list_options](Context& context, const auto&) { return list(context, *list_options); });
  auto format = std::make_shared<std::string>();
  volume.add("inspect", "Show volumes in full")
      .arguments("[OPTIONS] VOLUME [VOLUME...]", 1)
      .completes("volume")
      .text("--format,-f", *format, "string", "'json' or a Go template")
      .run([format](Context& context, const auto& names) {
        return inspect(context, *format, names);
      });
  auto force = std::make_shared<bool>(false);
  volume.add("rm,remove", "Remove volumes and their data")
      .arguments("[OPTIONS] VOLUME [VOLUME...]", 1)
      .completes("volume")
      .toggle("--force,-f", *force, "A volume that is not there is fine")
      .run([force](Context& context, const auto& names) { return remove(context, *force, names); });
  add_later_verbs(volume);
  auto prune_options = std::make_shared<PruneOptions>();
  volume.add("prune", "Remove volumes that no container uses")
      .arguments("[OPTIONS]", 0, 0)
      .toggle("--all,-a", prune_options->all, "Named volumes too")
      .toggle("--force,-f", prune_options->force, "Do not ask")
      .list("--filter", prune_options->filters, "KEY=VALUE, keys: label")
      .run([prune_options](Context& context, const auto&) {
        return prune(context, *prune_options);
      });
}

}  // namespace skep::ctl
