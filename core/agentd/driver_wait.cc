#include "core/agentd/driver_wait.h"

#include <algorithm>

namespace skep::agentd {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
constexpr Duration kLookAgain = 50ms;  // about what a plugin takes to start

void look(Env& env, const DriverView& view, const std::vector<std::string_view>& kinds, TimePoint deadline,
          std::function<void(std::vector<host::AbsentDriver>)> done) {
  auto absent = view.absent();
  std::erase_if(absent, [&](const auto& driver) { return !is_of_kind(driver.name, kinds); });
  const bool coming = std::any_of(absent.begin(), absent.end(), [](const auto& driver) {
    return driver.outlook == host::AbsentDriver::Outlook::kSoon;
  });
  if (!coming || env.clock.now() >= deadline) {
    return done(std::move(absent));
  }
  env.loop.run_after(kLookAgain, [&env, view, kinds, deadline, done = std::move(done)] {
    look(env, view, kinds, deadline, done);
  });
}

}  // namespace

DriverView view_of(const host::PluginHost& plugins) {
  return {.running = [&plugins] { return plugins.drivers(); }, .absent = [&plugins] { return plugins.absent(); }};
}

bool is_of_kind(std::string_view driver, const std::vector<std::string_view>& kinds) {
  return std::find(kinds.begin(), kinds.end(), driver.substr(0, driver.find('/'))) != kinds.end();
}

void await_drivers(Env& env, DriverView view, std::vector<std::string_view> kinds, Duration limit,
                   std::function<void(std::vector<host::AbsentDriver>)> done) {
  look(env, view, kinds, env.clock.now() + limit, std::move(done));
}

}  // namespace skep::agentd
