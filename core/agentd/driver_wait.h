#pragma once

// Which drivers of this node can be called, which are about to come, and waiting for those, so that nobody
// takes a driver that is still starting for one that has nothing. Loop thread only.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/pluginhost/plugin_host.h"
#include "skep/env.h"

namespace skep::agentd {

/// What the plugin host says of the drivers; tests say it themselves.
struct DriverView {
  std::function<std::vector<host::DriverState>()> running;
  std::function<std::vector<host::AbsentDriver>()> absent;
};
/// Of a host that outlives the view.
DriverView view_of(const host::PluginHost& plugins);

/// Whether `driver` ("volume/local") is of one of `kinds`.
bool is_of_kind(std::string_view driver, const std::vector<std::string_view>& kinds);

/// Calls `done` once no driver of `kinds` is about to come, at the latest after `limit`, with those that are absent
/// then; at once, from within, when there is nothing to wait for. What `view` and `done` hold outlives the wait.
void await_drivers(Env& env, DriverView view, std::vector<std::string_view> kinds, Duration limit,
                   std::function<void(std::vector<host::AbsentDriver>)> done);

}  // namespace skep::agentd
