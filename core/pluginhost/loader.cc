#define BOOST_DLL_USE_STD_FS
#include "core/pluginhost/loader.h"

#include <boost/dll/shared_library.hpp>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <vector>

#include "core/pluginhost/file_safety.h"

namespace skep::host {
namespace {

constexpr const char* kEntrySymbol = "skep_plugin_entry_v1";

Error refused(Code code, std::string message, std::string reason) {
  return Error{code, std::move(message), std::move(reason)};
}

}  // namespace

Status check_entry(const skep_entry* entry, const Manifest& manifest) {
  // Up to and with `create`: the fields of ABI 1.0. A shorter table was made by no SDK of ours.
  if (entry->struct_size < offsetof(skep_entry, create) + sizeof(entry->create)) {
    return refused(Code::kInvalidArgument,
                   "its entry table has " + std::to_string(entry->struct_size) +
                       " bytes, too few for ABI 1.0: rebuild it with the SDK",
                   "BAD_ENTRY");
  }
  if (entry->abi_major != SKEP_ABI_MAJOR) {
    return refused(Code::kUnimplemented,
                   "it is built for plugin ABI " + std::to_string(entry->abi_major) +
                       ", this agent has ABI " + std::to_string(SKEP_ABI_MAJOR) +
                       ": rebuild it with this agent's SDK",
                   "WRONG_ABI");
  }
  if (entry->id == nullptr || entry->version == nullptr || entry->create == nullptr) {
    return refused(Code::kInvalidArgument,
                   "its entry table has null fields: rebuild it with SKEP_PLUGIN of the SDK",
                   "BAD_ENTRY");
  }
  if (manifest.id != entry->id) {
    return refused(Code::kInvalidArgument,
                   std::string("its code says id '") + entry->id + "', its manifest '" + manifest.id +
                       "': make SKEP_PLUGIN and plugin.toml agree",
                   "ID_MISMATCH");
  }
  return ok();
}

Status check_plugin(const skep_plugin* plugin) {
  if (plugin == nullptr) {
    return refused(Code::kInternal, "it could not create an instance", "CREATE_FAILED");
  }
  if (plugin->struct_size < offsetof(skep_plugin, get_extension) ||
      plugin->start == nullptr || plugin->deliver == nullptr || plugin->stop == nullptr ||
      plugin->destroy == nullptr) {
    return refused(Code::kInvalidArgument,
                   "its plugin table is too short or has null functions: rebuild it with the SDK",
                   "BAD_TABLE");
  }
  return ok();
}

namespace {

/// Loaded libraries stay for the life of the process, see the header: nothing destroys this list. Every
/// in-process plugin is loaded by its own thread, all at the same time.
boost::dll::shared_library& keep(std::unique_ptr<boost::dll::shared_library> library) {
  static std::mutex mutex;
  static auto& kept =
      *new std::vector<std::unique_ptr<boost::dll::shared_library>>;  // NOLINT(cppcoreguidelines-owning-memory)
  const std::lock_guard lock(mutex);
  return *kept.emplace_back(std::move(library));
}

}  // namespace

Result<const skep_entry*> load_entry(const std::string& path, const Manifest& manifest) {
  // Once more after the catalog: between two starts of a plugin its file may have changed.
  if (auto safe = check_plugin_file(path); !safe && safe.error().code != Code::kNotFound) {
    return std::move(safe).error();
  }
  try {
    auto& library = keep(std::make_unique<boost::dll::shared_library>(
        std::filesystem::absolute(path),
        boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local));
    if (!library.has(kEntrySymbol)) {
      return refused(Code::kInvalidArgument,
                     path + ": does not export skep_plugin_entry_v1: it needs SKEP_PLUGIN, or is "
                            "built for another major version of the plugin ABI",
                     "NO_ENTRY");
    }
    const skep_entry* entry = &library.get<const skep_entry>(kEntrySymbol);
    if (auto status = check_entry(entry, manifest); !status) {
      return std::move(status).error().with_context(path);
    }
    return entry;
  } catch (const std::exception& error) {
    return refused(Code::kInvalidArgument, path + ": cannot be loaded: " + error.what(),
                   "LOAD_FAILED");
  }
}

}  // namespace skep::host
