#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <istream>
#include <ostream>

#include "core/agentctl/context.h"
#include "core/agentctl/errors.h"
#include "core/agentctl/nouns/nouns.h"
#include "core/agentctl/suggest.h"
#include "skep/control.methods.h"

namespace skep::ctl {

void add_all_commands(Command& root) {
  add_swarm_commands(root);
  add_node_commands(root);
  add_service_commands(root);
  add_image_commands(root);
  add_volume_commands(root);
  add_container_commands(root);
  add_plugin_commands(root);
  add_bus_commands(root);
  add_info_commands(root);
  add_login_commands(root);
  add_doctor_command(root);
  add_completion_commands(root);
  add_backup_commands(root);
  add_later_verbs(root);
}

Result<std::vector<control::v1::Filter>> parse_filters(
    const std::vector<std::string>& given, std::initializer_list<std::string_view> known) {
  std::vector<control::v1::Filter> filters;
  for (const std::string& text : given) {
    const std::size_t equals = text.find('=');
    const std::string key = text.substr(0, equals);
    if (equals == std::string::npos) {
      return Error{Code::kInvalidArgument, fmt::format("--filter: '{}' is not KEY=VALUE", text),
                   "USAGE"};
    }
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      std::string keys;
      for (const std::string_view one : known) {
        keys += fmt::format("{}{}", keys.empty() ? "" : ", ", one.starts_with("_") ? "" : one);
      }
      return Error{Code::kInvalidArgument,
                   fmt::format("--filter: unknown key '{}'{}; keys are {}", key,
                               did_you_mean(key, known), keys),
                   "USAGE"};
    }
    auto& filter = filters.emplace_back();
    filter.set_key(key);
    filter.set_value(text.substr(equals + 1));
  }
  return filters;
}

Status check_filter_values(const std::vector<control::v1::Filter>& filters, std::string_view key,
                           const std::vector<std::string_view>& allowed) {
  for (const auto& filter : filters) {
    if (filter.key() == key && std::find(allowed.begin(), allowed.end(), filter.value()) == allowed.end()) {
      return Error{Code::kInvalidArgument,
                   fmt::format("filter '{}={}': use {}", key, filter.value(), comma_list(allowed)), "BAD_FILTER"};
    }
  }
  return ok();
}

int for_each_reference(Context& context, const std::vector<std::string>& references,
                       const std::function<Status(const std::string&)>& one) {
  int exit_code = 0;
  for (const std::string& reference : references) {
    if (auto status = one(reference); !status) {
      print_error(context, status.error());
      exit_code = exit_code != 0 ? exit_code : exit_code_of(status.error());
    }
  }
  return exit_code;
}

FlagWorld flag_world(Context& context) {
  return {.environment = context.environment, .read_file = [&context](const std::string& path) {
            return context.disk.read_file(absolute_path(path));
          }};
}

Result<std::map<std::string, std::string>> node_names(Client& agent, bool resolve) {
  std::map<std::string, std::string> names;
  if (resolve) {
    SKEP_TRY_ASSIGN(const auto nodes, agent.list<control::v1::methods::ListNodes>(kCore, {}));
    for (const auto& node : nodes.nodes()) {
      names[node.id()] =
          node.spec().name().empty() ? node.description().hostname() : node.spec().name();
    }
  }
  return names;
}

std::string shown_id(const std::string& id, bool no_trunc) {
  return no_trunc ? id : id.substr(0, 12);
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

bool confirmed(Context& context, std::string_view question) {
  context.out << question << " [y/N] " << std::flush;
  std::string answer;
  std::getline(context.in, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace skep::ctl
