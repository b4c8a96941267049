#pragma once

// One running plugin on one loop: the host table it sees, and its own table checked and called. All
// calls are [plugin-loop]; the host functions the plugin calls obey the tags in skep/abi.h.

#include <functional>
#include <memory>
#include <string>

#include "core/pluginhost/manifest.h"
#include "skep/abi.h"
#include "skep/env.h"
#include "skep/log.h"

namespace skep::host {

class PluginInstance {
 public:
  /// [any thread] Takes one message of the plugin; kUnavailable and friends go back to it.
  using Send = std::function<Status(std::string header, std::string body)>;
  /// [any thread] Takes one log line of the plugin.
  using Log = std::function<void(LogLevel, std::string_view)>;

  /// Loads `path` and creates an instance. `loop` and what the functions hold outlive it.
  static Result<std::unique_ptr<PluginInstance>> create(const std::string& path,
                                                        const Manifest& manifest, Loop& loop,
                                                        Send send, Log log);
  /// Stops, if started, and destroys. The library stays loaded.
  ~PluginInstance();
  PluginInstance(const PluginInstance&) = delete;
  PluginInstance& operator=(const PluginInstance&) = delete;

  /// `start_request` is a serialised skep.plugin.v1.StartRequest. An error names what the plugin
  /// said last in its log, because the ABI carries only a code.
  Status start(std::string_view start_request);
  void deliver(std::string_view header, std::string_view body);
  void stop();

 private:
  struct Host;
  PluginInstance(std::unique_ptr<Host> host, std::string id);

  std::unique_ptr<Host> host_;  // outlives plugin_
  std::string id_;
  const skep_plugin* plugin_ = nullptr;
  bool started_ = false;
};

}  // namespace skep::host
