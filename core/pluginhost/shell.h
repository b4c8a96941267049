#pragma once

// A plugin with its loop and its link to the bus: what an in-process thread and agent-plugin-host have
// in common, and the thread itself.

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "core/base/asio_loop.h"
#include "core/bus/plugin_link.h"
#include "core/pluginhost/instance.h"

namespace skep::host {

struct ShellSpec {
  std::string path;
  Manifest manifest;
  std::string start_request;  ///< serialised skep.plugin.v1.StartRequest
  std::string endpoint;
  std::shared_ptr<bus::ZmqContext> context;
  std::string token;     ///< isolated only
  std::string instance;  ///< random, the same after a reconnect
  PluginInstance::Log log;
};

/// One plugin on `loop`; every call is on that loop. The instance starts first and says HELLO after:
/// whoever is on the bus serves.
class Shell {
 public:
  struct Events {
    std::function<void(const Error&)> on_rejected = {};
    std::function<void()> on_lost = {};
    std::function<void()> on_welcome = {};
  };
  static Result<std::unique_ptr<Shell>> start(Loop& loop, ShellSpec spec, Events events);
  /// Says BYE, stops the plugin, destroys it.
  ~Shell();
  Shell(const Shell&) = delete;
  Shell& operator=(const Shell&) = delete;

 private:
  Shell() = default;
  std::unique_ptr<bus::PluginLink> link_;
  std::unique_ptr<PluginInstance> instance_;
};

/// A Shell on a thread of its own, inside agentd. Made and destroyed on the owner's loop.
class ShellThread {
 public:
  /// `on_started` comes on `owner` once, with how the start went.
  ShellThread(Loop& owner, ShellSpec spec, std::function<void(Status)> on_started);
  /// Stops the plugin and joins; blocks until the plugin's stop() returned.
  ~ShellThread();
  ShellThread(const ShellThread&) = delete;
  ShellThread& operator=(const ShellThread&) = delete;

 private:
  void thread_main(ShellSpec spec);

  Loop& owner_;
  std::function<void(Status)> on_started_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // owner's loop only
  base::AsioLoop loop_;
  std::thread thread_;
};

}  // namespace skep::host
