#pragma once

// plugin.toml: what a plugin says about itself, readable without running any of its code. The file
// is embedded in the .so as the ELF section .skep_manifest.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "skep/bus.pb.h"
#include "skep/result.h"

namespace skep::host {

/// One configuration key a plugin understands, from [config.KEY].
struct ConfigKey {
  std::string type = "string";  ///< "string", "int", "bool", "duration", "size"
  std::string default_value;
  std::string description;
  bool secret = false;
};

struct Manifest {
  std::string id;
  std::string version;
  std::string description;
  std::vector<bus::v1::DriverName> drivers;  ///< from kinds and capabilities
  bool allows_inproc = false;
  bool allows_isolated = true;
  std::vector<std::string> needs;  ///< programs that must be installed: "runc"
  std::map<std::string, ConfigKey> config;
  std::string text;  ///< the whole plugin.toml
};

/// Size of a manifest that is still read.
inline constexpr std::size_t kManifestBytesMax = 64 * 1024;

/// Parses plugin.toml. kInvalidArgument names line and key.
Result<Manifest> parse_manifest(std::string_view text);

/// The bytes of section .skep_manifest of an ELF file image. kInvalidArgument: no ELF file, not for
/// this machine, damaged, or no such section.
Result<std::string> find_manifest_section(std::string_view elf);

/// Names of the symbols that the shared object at `path` defines for others.
Result<std::vector<std::string>> exported_symbols(const std::string& path);

/// That `path` exports skep_plugin_entry_v1 and nothing else: whatever else it exports could take the
/// place of a symbol of another plugin. kInvalidArgument says what is missing or too much.
Status check_exports(const std::string& path);

/// Reads `path`'s manifest; the errors of both functions above, with the path.
Result<Manifest> read_manifest(const std::string& path);

/// Checks a site's settings against the schema: unknown keys and wrong types are kInvalidArgument
/// and name the nearest key. Returns the settings with defaults filled in.
Result<std::map<std::string, std::string>> check_config(
    const Manifest& manifest, const std::map<std::string, std::string>& given);

}  // namespace skep::host
