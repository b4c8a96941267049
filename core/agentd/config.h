#pragma once

// agentd.toml and conf.d/*.toml: what a site chooses. Later files win key by key. An unknown key is
// an error that names the nearest one, so that a typing error never goes unnoticed.

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "skep/env.h"
#include "skep/log.h"
#include "skep/result.h"

namespace skep::agentd {

/// Where everything of one agent lies. All below the root, so that many agents share a machine.
struct Paths {
  explicit Paths(std::string root_dir);
  std::string root;
  std::string config_file;   ///< <root>/etc/skep/agentd.toml
  std::string config_dir;    ///< <root>/etc/skep/conf.d
  std::string state_dir;     ///< <root>/var/lib/skep
  std::string run_dir;       ///< <root>/run/skep
  std::string control_socket;
  std::string bus_socket;
};

/// How long a node that stops waits for others to take its tasks over, unless it is told otherwise.
inline constexpr Duration kHandOverPatience = std::chrono::minutes(2);

/// What SIGTERM does with the tasks of this node.
enum class OnStop {
  kKeepTasks,  ///< they run on; managers are told that the agent will be back
  kDrain,      ///< other nodes take them over before the agent ends
};

struct PluginSettings {
  bool enabled = true;
  std::string placement;  ///< "", "inproc" or "isolated"
  std::map<std::string, std::string> config;
};

struct Config {
  LogLevel log_level = LogLevel::kInfo;
  std::vector<std::string> plugin_dirs;        ///< searched for *.so; in-process allowed
  std::vector<std::string> third_party_dirs;   ///< always isolated
  bool isolate_all = false;
  bool external_plugins = true;  ///< programs of root that connect to the bus socket may serve drivers
  std::map<std::string, PluginSettings> plugins;  ///< by id
  std::map<std::string, std::string> node_labels;  ///< engine labels
  std::string consensus = "raft";
  std::string default_runtime = "oci";
  std::string gateway_network_driver = "bridge";
  OnStop on_stop = OnStop::kKeepTasks;
};

/// Parses one file's text over `config`. kInvalidArgument: "FILE:LINE: what; what to do".
Status parse_config(std::string_view text, const std::string& file, Config& config);

/// Reads the files of `paths`; missing ones are fine.
Result<Config> load_config(const Paths& paths);

}  // namespace skep::agentd
