#pragma once

// Which plugin files a site has, and what becomes of each: started in-process, started isolated,
// disabled, or refused with the reason. Reads files, runs none of their code.

#include <map>
#include <string>
#include <vector>

#include "core/pluginhost/manifest.h"

namespace skep::host {

enum class Placement : std::uint8_t { kInproc, kIsolated };

struct PluginSettings {
  bool enabled = true;
  std::string placement;  ///< "", "inproc" or "isolated"
  std::map<std::string, std::string> config;
};

struct CatalogOptions {
  std::vector<std::string> trusted_dirs;      ///< in-tree: in-process where the manifest allows it
  std::vector<std::string> third_party_dirs;  ///< isolated, whatever the manifest allows
  bool isolate_all = false;
  std::map<std::string, PluginSettings> settings;
};

/// One plugin file, or a name that only the configuration knows.
struct CatalogEntry {
  std::string id;    ///< of the manifest; the file's name when there is none
  std::string path;
  Manifest manifest;
  Placement placement = Placement::kIsolated;
  bool enabled = true;
  std::map<std::string, std::string> config;
  std::string refusal;  ///< why it is not started, and what to do; empty when it is
};

/// Every *.so of the directories, sorted by id. Missing directories are fine. The first file of an id
/// wins, later ones are refused.
std::vector<CatalogEntry> read_catalog(const CatalogOptions& options);

/// One file, for `agentctl plugin verify` and upgrades.
CatalogEntry read_entry(const std::string& path, bool trusted, const CatalogOptions& options);

}  // namespace skep::host
