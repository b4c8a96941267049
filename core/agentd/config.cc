#include "core/agentd/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <functional>
#include <initializer_list>

#include "core/model/suggest.h"
#include "skep/posix_env.h"

namespace skep::agentd {
namespace {

std::string under(const std::string& root, const std::string& path) {
  return root == "/" ? path : root + path;
}

/// One table of the file: takes known keys, then complains about the rest.
class Section {
 public:
  Section(const toml::table& table, std::string name, const std::string& file)
      : table_(table), name_(std::move(name)), file_(file) {}

  template <class T>
  Status take(std::string_view key, T& out) {
    known_.emplace_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
      return ok();
    }
    const auto value = node->value<T>();
    if (!value) {
      return error(*node, "'" + full(key) + "' must be " +
                              (std::is_same_v<T, bool> ? "true or false" : "a string"));
    }
    out = *value;
    return ok();
  }
  /// One of these words.
  template <class T>
  Status choose(std::string_view key, T& out,
                std::initializer_list<std::pair<std::string_view, T>> choices) {
    std::string word;
    SKEP_TRY(take(key, word));
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
      return ok();
    }
    std::string words;
    std::size_t left = choices.size();
    for (const auto& [name, choice] : choices) {
      if (word == name) {
        out = choice;
        return ok();
      }
      words += std::string(name) + (--left > 1 ? ", " : left == 1 ? " or " : "");
    }
    return error(*node, "'" + full(key) + "' is '" + word + "'; it must be " + words);
  }
  Status take(std::string_view key, std::vector<std::string>& out) {
    known_.emplace_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
      return ok();
    }
    const toml::array* array = node->as_array();
    if (array == nullptr) {
      return error(*node, "'" + full(key) + "' must be an array of strings");
    }
    out.clear();
    for (const toml::node& element : *array) {
      const auto value = element.value<std::string>();
      if (!value) {
        return error(element, "'" + full(key) + "' must hold strings only");
      }
      out.push_back(*value);
    }
    return ok();
  }
  /// Every key of the sub-table `key`, numbers and flags as text.
  Status take(std::string_view key, std::map<std::string, std::string>& out) {
    known_.emplace_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
      return ok();
    }
    if (!node->is_table()) {
      return error(*node, "'" + full(key) + "' must be a table");
    }
    return texts(*node->as_table(), out, {});
  }
  Status texts(const toml::table& table, std::map<std::string, std::string>& out,
               const std::vector<std::string>& except) {
    for (const auto& [name, node] : table) {
      const std::string key(name.str());
      if (std::find(except.begin(), except.end(), key) != except.end()) {
        continue;
      }
      if (const auto text = node.value_exact<std::string>()) {
        out[key] = *text;
      } else if (const auto flag = node.value_exact<bool>()) {
        out[key] = *flag ? "true" : "false";
      } else if (const auto number = node.value_exact<std::int64_t>()) {
        out[key] = std::to_string(*number);
      } else if (const toml::array* array = node.as_array()) {
        std::string joined;
        for (const toml::node& element : *array) {
          joined += (joined.empty() ? "" : ",") + element.value_or(std::string());
        }
        out[key] = joined;
      } else {
        return error(node, "'" + full(key) + "' must be a string, a number, true or false");
      }
    }
    return ok();
  }
  Status each_table(std::string_view key,
                    const std::function<Status(const std::string&, const toml::table&)>& call) {
    known_.emplace_back(key);
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
      return ok();
    }
    if (!node->is_table()) {
      return error(*node, "'" + full(key) + "' must be a table of tables: [" + full(key) + ".NAME]");
    }
    for (const auto& [name, child] : *node->as_table()) {
      if (!child.is_table()) {
        return error(child, "'" + full(key) + "." + std::string(name.str()) + "' must be a table");
      }
      SKEP_TRY(call(std::string(name.str()), *child.as_table()));
    }
    return ok();
  }
  /// Call after every take().
  Status no_other_keys() {
    for (const auto& [name, node] : table_) {
      const std::string key(name.str());
      if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
        return error(node, "there is no setting '" + full(key) + "'" + model::did_you_mean(key, known_));
      }
    }
    return ok();
  }
  [[nodiscard]] Error error(const toml::node& node, const std::string& message) const {
    return Error{Code::kInvalidArgument,
                 file_ + ":" + std::to_string(node.source().begin.line) + ": " + message, "BAD_CONFIG"};
  }

 private:
  [[nodiscard]] std::string full(std::string_view key) const {
    return name_.empty() ? std::string(key) : name_ + "." + std::string(key);
  }
  const toml::table& table_;
  std::string name_;
  const std::string& file_;
  std::vector<std::string> known_;
};

Status parse_plugin(const std::string& id, const toml::table& table, const std::string& file,
                    Config& config) {
  PluginSettings& settings = config.plugins[id];
  Section section(table, "plugin." + id, file);
  SKEP_TRY(section.take("enabled", settings.enabled));
  SKEP_TRY(section.take("placement", settings.placement));
  if (!settings.placement.empty() && settings.placement != "inproc" &&
      settings.placement != "isolated") {
    return section.error(table, "'plugin." + id + ".placement' must be \"inproc\" or \"isolated\"");
  }
  // All other keys belong to the plugin and are checked against its manifest.
  return section.texts(table, settings.config, {"enabled", "placement"});
}

Status from_table(const toml::table& table, const std::string& file, Config& config) {
  Section top(table, "", file);
  SKEP_TRY(top.choose("log_level", config.log_level,
                      {{"trace", LogLevel::kTrace},
                       {"debug", LogLevel::kDebug},
                       {"info", LogLevel::kInfo},
                       {"warn", LogLevel::kWarn},
                       {"error", LogLevel::kError}}));
  SKEP_TRY(top.choose("on_stop", config.on_stop,
                      {{"keep", OnStop::kKeepTasks}, {"drain", OnStop::kDrain}}));
  SKEP_TRY(top.take("plugin_dirs", config.plugin_dirs));
  SKEP_TRY(top.take("third_party_plugin_dirs", config.third_party_dirs));
  SKEP_TRY(top.take("isolate_all_plugins", config.isolate_all));
  SKEP_TRY(top.take("external_plugins", config.external_plugins));
  SKEP_TRY(top.take("consensus", config.consensus));
  SKEP_TRY(top.take("default_runtime", config.default_runtime));
  SKEP_TRY(top.take("gateway_network_driver", config.gateway_network_driver));
  SKEP_TRY(top.take("labels", config.node_labels));
  SKEP_TRY(top.each_table("plugin", [&](const std::string& id, const toml::table& child) {
    return parse_plugin(id, child, file, config);
  }));
  return top.no_other_keys();
}

}  // namespace

Paths::Paths(std::string root_dir)
    : root(std::move(root_dir)),
      config_file(under(root, "/etc/skep/agentd.toml")),
      config_dir(under(root, "/etc/skep/conf.d")),
      state_dir(under(root, "/var/lib/skep")),
      run_dir(under(root, "/run/skep")),
      control_socket(run_dir + "/control.sock"),
      bus_socket(run_dir + "/bus.sock") {}

Status parse_config(std::string_view text, const std::string& file, Config& config) {
  try {
    return from_table(toml::parse(text), file, config);
  } catch (const toml::parse_error& error) {
    return Error{Code::kInvalidArgument,
                 file + ":" + std::to_string(error.source().begin.line) + ": " +
                     std::string(error.description()),
                 "BAD_CONFIG"};
  }
}

Result<Config> load_config(const Paths& paths) {
  PosixDisk disk;
  Config config;
  std::vector<std::string> files;
  if (disk.exists(paths.config_file)) {
    files.push_back(paths.config_file);
  }
  if (disk.exists(paths.config_dir)) {
    SKEP_TRY_ASSIGN(auto names, disk.list_directory(paths.config_dir));
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      if (name.ends_with(".toml")) {
        files.push_back(paths.config_dir + "/" + name);
      }
    }
  }
  for (const std::string& file : files) {
    SKEP_TRY_ASSIGN(const std::string text, disk.read_file(file));
    SKEP_TRY(parse_config(text, file, config));
  }
  return config;
}

}  // namespace skep::agentd
