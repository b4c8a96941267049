#include "core/pluginhost/manifest.h"

#include <toml++/toml.h>


#include <algorithm>
#include <array>
#include <charconv>

#include "skep/posix_env.h"

namespace skep::host {
namespace {

constexpr std::array<std::string_view, 6> kKinds{"consensus", "discovery", "network",
                                                 "volume",    "runtime",   "gateway"};
constexpr std::array<std::string_view, 5> kConfigTypes{"string", "int", "bool", "duration", "size"};

Error invalid(std::string message) {
  return Error{Code::kInvalidArgument, std::move(message), "BAD_MANIFEST"};
}

bool is_plain_id(std::string_view id) {
  return !id.empty() && id.size() <= 64 &&
         std::all_of(id.begin(), id.end(), [](unsigned char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
         }) &&
         id.front() != '-' && id.front() != '.';
}

/// A string array under `key`; absent is empty.
Result<std::vector<std::string>> strings(const toml::table& table, std::string_view key) {
  std::vector<std::string> out;
  const auto* node = table.get(key);
  if (node == nullptr) {
    return out;
  }
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    return invalid("'" + std::string(key) + "' must be an array of strings");
  }
  for (const auto& element : *array) {
    const auto text = element.value<std::string>();
    if (!text) {
      return invalid("'" + std::string(key) + "' must hold strings only");
    }
    out.push_back(*text);
  }
  return out;
}

/// "volume/1" with the plugin's id as the driver's name.
Result<bus::v1::DriverName> parse_kind(const std::string& text, const std::string& id,
                                       const std::vector<std::string>& capabilities) {
  const auto slash = text.find('/');
  const std::string kind = text.substr(0, slash);
  unsigned major = 0;
  if (slash != std::string::npos) {
    const char* const last = text.data() + text.size();
    if (std::from_chars(text.data() + slash + 1, last, major).ptr != last) {
      major = 0;
    }
  }
  if (std::find(kKinds.begin(), kKinds.end(), kind) == kKinds.end() || major == 0) {
    return invalid("'" + text + "' is no kind; a kind is written like \"volume/1\", and the kinds are "
                   "consensus, discovery, network, volume, runtime and gateway");
  }
  if (major != 1) {
    return Error{Code::kUnimplemented,
                 "this agent speaks " + kind + "/1, the plugin wants " + text +
                     ": use a build of the plugin for " + kind + "/1, or a newer agent",
                 "WRONG_KIND_VERSION"};
  }
  bus::v1::DriverName driver;
  driver.set_kind(kind);
  driver.set_major(major);
  driver.set_name(id);
  for (const std::string& capability : capabilities) {
    driver.add_capabilities(capability);
  }
  return driver;
}

Result<std::map<std::string, ConfigKey>> parse_config(const toml::table& table) {
  std::map<std::string, ConfigKey> out;
  const auto* section = table.get("config");
  if (section == nullptr) {
    return out;
  }
  if (!section->is_table()) {
    return invalid("'config' must be a table of keys: [config.KEY]");
  }
  for (const auto& [name, node] : *section->as_table()) {
    const toml::table* entry = node.as_table();
    const std::string key(name.str());
    if (entry == nullptr) {
      return invalid("'config." + key + "' must be a table");
    }
    ConfigKey parsed;
    parsed.type = (*entry)["type"].value_or(std::string("string"));
    if (std::find(kConfigTypes.begin(), kConfigTypes.end(), parsed.type) == kConfigTypes.end()) {
      return invalid("'config." + key + ".type' is '" + parsed.type +
                     "'; it must be string, int, bool, duration or size");
    }
    const auto value = (*entry)["default"];
    if (const auto text = value.value<std::string>()) {
      parsed.default_value = *text;
    } else if (const auto flag = value.value_exact<bool>()) {
      parsed.default_value = *flag ? "true" : "false";
    } else if (const auto number = value.value_exact<std::int64_t>()) {
      parsed.default_value = std::to_string(*number);
    }
    parsed.description = (*entry)["description"].value_or(std::string());
    parsed.secret = (*entry)["secret"].value_or(false);
    out.emplace(key, std::move(parsed));
  }
  return out;
}

Result<Manifest> from_table(const toml::table& table) {
  Manifest manifest;
  manifest.id = table["id"].value_or(std::string());
  if (!is_plain_id(manifest.id)) {
    return invalid("'id' must be 1 to 64 of a-z 0-9 - _ . and is '" + manifest.id + "'");
  }
  manifest.version = table["version"].value_or(std::string());
  if (manifest.version.empty()) {
    return invalid("'version' is missing; write the plugin's own version, for example \"1.0.0\"");
  }
  manifest.description = table["description"].value_or(std::string());
  SKEP_TRY_ASSIGN(const auto kinds, strings(table, "kinds"));
  SKEP_TRY_ASSIGN(const auto capabilities, strings(table, "capabilities"));
  if (kinds.empty()) {
    return invalid("'kinds' is missing; write what the plugin brings, for example [\"volume/1\"]");
  }
  for (const std::string& kind : kinds) {
    SKEP_TRY_ASSIGN(auto driver, parse_kind(kind, manifest.id, capabilities));
    manifest.drivers.push_back(std::move(driver));
  }
  SKEP_TRY_ASSIGN(const auto placement, strings(table, "placement"));
  if (!placement.empty()) {
    manifest.allows_isolated = false;
  }
  for (const std::string& place : placement) {
    if (place == "inproc") {
      manifest.allows_inproc = true;
    } else if (place == "isolated") {
      manifest.allows_isolated = true;
    } else {
      return invalid("'placement' holds '" + place + "'; it may hold \"inproc\" and \"isolated\"");
    }
  }
  SKEP_TRY_ASSIGN(manifest.needs, strings(table, "needs"));
  SKEP_TRY_ASSIGN(manifest.config, parse_config(table));
  return manifest;
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view text) {
  if (text.size() > kManifestBytesMax) {
    return invalid("the manifest has more than 64 KiB");
  }
  try {
    SKEP_TRY_ASSIGN(Manifest manifest, from_table(toml::parse(text)));
    manifest.text = std::string(text);
    return manifest;
  } catch (const toml::parse_error& error) {
    return invalid("line " + std::to_string(error.source().begin.line) + ": " +
                   std::string(error.description()));
  }
}

Result<Manifest> read_manifest(const std::string& path) {
  PosixDisk disk;
  auto content = disk.read_file(path);
  if (!content) {
    return std::move(content).error();
  }
  auto section = find_manifest_section(*content);
  if (!section) {
    return std::move(section).error().with_context(path);
  }
  auto manifest = parse_manifest(*section);
  if (!manifest) {
    return std::move(manifest).error().with_context(path + ": plugin.toml");
  }
  return manifest;
}

}  // namespace skep::host
