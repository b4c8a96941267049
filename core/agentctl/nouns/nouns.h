#pragma once

// One function per noun: adds its verbs to the root command. And what several nouns share.

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/agentctl/client.h"
#include "core/agentctl/flags/service_flags.h"
#include "skep/control.pb.h"

namespace skep::ctl {

class Command;
struct Context;

void add_swarm_commands(Command& root);
void add_info_commands(Command& root);
void add_login_commands(Command& root);
void add_node_commands(Command& root);
void add_service_commands(Command& root);
void add_image_commands(Command& root);
void add_volume_commands(Command& root);
void add_container_commands(Command& root);
void add_plugin_commands(Command& root);
void add_bus_commands(Command& root);
void add_doctor_command(Command& root);
void add_completion_commands(Command& root);
void add_backup_commands(Command& root);
/// Docker's verbs of `noun` (container, image, volume, or the root) that are not there yet: they say so (exit code 10).
void add_later_verbs(Command& noun);
/// All of the above under `agentctl`.
void add_all_commands(Command& root);

/// "key=value" as control API filters. kInvalidArgument: malformed, or a key that is not `known`.
Result<std::vector<control::v1::Filter>> parse_filters(
    const std::vector<std::string>& given, std::initializer_list<std::string_view> known);
/// Refuses values of the filters `key` that no object can ever have. kInvalidArgument BAD_FILTER, which names `allowed`.
Status check_filter_values(const std::vector<control::v1::Filter>& filters, std::string_view key,
                           const std::vector<std::string_view>& allowed);
/// Repeats of one key are OR, different keys are AND; `matches(filter)` judges one.
template <class Matches>
bool matches_filters(const std::vector<control::v1::Filter>& filters, const Matches& matches) {
  return std::all_of(filters.begin(), filters.end(), [&](const auto& one) {
    return std::any_of(filters.begin(), filters.end(),
                       [&](const auto& other) { return other.key() == one.key() && matches(other); });
  });
}
template <class Request>
Status add_filters(Request& request, const std::vector<std::string>& given,
                   std::initializer_list<std::string_view> known) {
  SKEP_TRY_ASSIGN(const auto filters, parse_filters(given, known));
  for (const auto& filter : filters) {
    *request.add_filters() = filter;
  }
  return ok();
}

/// Runs `one` for every reference, prints what failed and goes on; the exit code is that of the
/// first failure, else 0. The way Docker's verbs treat several arguments.
int for_each_reference(Context& context, const std::vector<std::string>& references,
                       const std::function<Status(const std::string&)>& one);

/// The caller's environment and files, for flags that read them.
FlagWorld flag_world(Context& context);
/// Host names by node id, for tables; empty when `resolve` is false.
Result<std::map<std::string, std::string>> node_names(Client& agent, bool resolve);
/// First 12 characters, or all.
std::string shown_id(const std::string& id, bool no_trunc);
/// Text of a file of this machine for people's flags; path relative to the working directory.
std::string absolute_path(const std::string& path);
/// "y" or "yes" typed by the person; false at the end of input.
bool confirmed(Context& context, std::string_view question);
/// Tasks as `service ps` and `node ps` print them.
struct ListOptions;
Status print_tasks(Context& context, std::vector<model::v1::Task> tasks,
                   const std::map<std::string, std::string>& nodes, const ListOptions& options);
/// Credentials for the registry of `image`, as registry_auth wants them (base64 JSON); "" if none.
Result<std::string> registry_auth_for(Context& context, const std::string& image);

}  // namespace skep::ctl
