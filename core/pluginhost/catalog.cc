#include "core/pluginhost/catalog.h"

#include <algorithm>

#include "core/model/suggest.h"
#include "core/pluginhost/file_safety.h"
#include "skep/posix_env.h"

namespace skep::host {
namespace {

Status place(CatalogEntry& entry, bool trusted, const CatalogOptions& options) {
  const Manifest& manifest = entry.manifest;
  const auto settings = options.settings.find(entry.id);
  std::string wanted = settings == options.settings.end() ? "" : settings->second.placement;
  if (wanted.empty()) {
    const bool inproc = trusted && !options.isolate_all && manifest.allows_inproc;
    wanted = inproc ? "inproc" : "isolated";
  }
  if (wanted == "inproc" && !manifest.allows_inproc) {
    return Error{Code::kInvalidArgument, "its manifest does not allow placement \"inproc\"", "BAD_PLACEMENT"};
  }
  if (wanted == "inproc" && !trusted) {
    return Error{Code::kPermissionDenied,
                 "third-party plugins run isolated; to trust it, move it to one of plugin_dirs",
                 "BAD_PLACEMENT"};
  }
  if (wanted == "isolated" && !manifest.allows_isolated) {
    return Error{Code::kInvalidArgument, "its manifest does not allow placement \"isolated\"", "BAD_PLACEMENT"};
  }
  entry.placement = wanted == "inproc" ? Placement::kInproc : Placement::kIsolated;
  return ok();
}

}  // namespace

CatalogEntry read_entry(const std::string& path, bool trusted, const CatalogOptions& options) {
  CatalogEntry entry;
  entry.path = path;
  entry.id = path.substr(path.find_last_of('/') + 1);
  const auto fill = [&]() -> Status {
    SKEP_TRY(check_plugin_file(path));
    SKEP_TRY_ASSIGN(entry.manifest, read_manifest(path));
    entry.id = entry.manifest.id;
    SKEP_TRY(check_exports(path));
    std::map<std::string, std::string> given;
    if (const auto it = options.settings.find(entry.id); it != options.settings.end()) {
      entry.enabled = it->second.enabled;
      given = it->second.config;
    }
    SKEP_TRY_ASSIGN(entry.config, check_config(entry.manifest, given));
    return place(entry, trusted, options);
  };
  if (auto status = fill(); !status) {
    entry.refusal = status.error().message;
  }
  return entry;
}

std::vector<CatalogEntry> read_catalog(const CatalogOptions& options) {
  std::vector<CatalogEntry> entries;
  const auto read_dir = [&](const std::string& directory, bool trusted) {
    PosixDisk disk;
    auto names = disk.list_directory(directory);
    if (!names) {
      return;  // a directory that is not there holds no plugins
    }
    std::sort(names->begin(), names->end());
    for (const std::string& name : *names) {
      if (!name.ends_with(".so")) {
        continue;
      }
      CatalogEntry entry = read_entry(directory + "/" + name, trusted, options);
      const auto same = std::find_if(entries.begin(), entries.end(), [&](const CatalogEntry& other) {
        return other.id == entry.id && other.refusal.empty();
      });
      if (same != entries.end() && entry.refusal.empty()) {
        entry.refusal = "id '" + entry.id + "' is taken by '" + same->path +
                        "': remove one of the two files, or give one plugin another id";
      }
      entries.push_back(std::move(entry));
    }
  };
  for (const std::string& directory : options.trusted_dirs) {
    read_dir(directory, true);
  }
  for (const std::string& directory : options.third_party_dirs) {
    read_dir(directory, false);
  }
  // Settings for a plugin that is not there are a typing error, or a plugin that got lost.
  std::vector<std::string> ids;
  for (const CatalogEntry& entry : entries) {
    ids.push_back(entry.id);
  }
  for (const auto& [id, settings] : options.settings) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end() && settings.enabled) {
      CatalogEntry entry;
      entry.id = id;
      entry.refusal = "the configuration has [plugin." + id + "], but no file brings that plugin" +
                      model::did_you_mean(id, ids);
      entries.push_back(std::move(entry));
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const CatalogEntry& a, const CatalogEntry& b) { return a.id < b.id; });
  return entries;
}

}  // namespace skep::host
