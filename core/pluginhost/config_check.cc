#include <algorithm>
#include <charconv>

#include "core/model/suggest.h"
#include "core/pluginhost/manifest.h"

namespace skep::host {
namespace {

Error unknown_key(const Manifest& manifest, const std::string& key) {
  std::string message = "plugin '" + manifest.id + "' has no setting '" + key + "'";
  std::vector<std::string> names;
  for (const auto& [name, schema] : manifest.config) {
    names.push_back(name);
  }
  const std::string meant = model::did_you_mean(key, names);
  message += names.empty() ? "; it has none at all"
             : meant.empty() ? "; see `agentctl plugin inspect " + manifest.id + "`"
                             : meant;
  return Error{Code::kInvalidArgument, std::move(message), "UNKNOWN_SETTING"};
}

bool fits(const ConfigKey& key, const std::string& value) {
  if (key.type == "bool") {
    return value == "true" || value == "false";
  }
  if (key.type == "string") {
    return true;
  }
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{}) {
    return false;
  }
  const std::string_view unit(end, static_cast<std::size_t>(value.data() + value.size() - end));
  if (key.type == "int") {
    return unit.empty();
  }
  const auto one_of = [&](std::initializer_list<std::string_view> units) {
    return std::find(units.begin(), units.end(), unit) != units.end();
  };
  if (number < 0) {
    return false;
  }
  return key.type == "duration" ? one_of({"ms", "s", "m", "h"})
                                : one_of({"", "b", "k", "m", "g", "K", "M", "G"});
}

}  // namespace

Result<std::map<std::string, std::string>> check_config(
    const Manifest& manifest, const std::map<std::string, std::string>& given) {
  std::map<std::string, std::string> out;
  for (const auto& [name, key] : manifest.config) {
    if (!key.default_value.empty()) {
      out[name] = key.default_value;
    }
  }
  for (const auto& [name, value] : given) {
    const auto key = manifest.config.find(name);
    if (key == manifest.config.end()) {
      return unknown_key(manifest, name);
    }
    if (!fits(key->second, value)) {
      return Error{Code::kInvalidArgument,
                   "plugin '" + manifest.id + "': setting '" + name + "' must be of type " +
                       key->second.type + (key->second.secret ? "" : " and is '" + value + "'"),
                   "BAD_SETTING"};
    }
    out[name] = value;
  }
  return out;
}

}  // namespace skep::host
