#pragma once

// Drivers on a bus in memory whose plugins come and go as a test says.

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/agentd/driver_wait.h"
#include "skep/network.methods.h"
#include "skep/runtime.methods.h"
#include "skep/testing/local_bus.h"
#include "skep/testing/manual_env.h"
#include "skep/volume.methods.h"

namespace skep::agentd {

class DriverRig : public testing::ManualEnv {
 public:
  using Outlook = host::AbsentDriver::Outlook;

  DriverRig() { caller = &bus_.attach("core", "realm", {"core"}, nothing_, {}); }

  /// The driver answers from now on. A repeat is its next incarnation.
  void up(const std::string& name) {
    down(name);
    absent.erase(name);
    auto& table = tables_[name] = std::make_unique<rpc::MethodTable>();
    table->on_sync<runtime::v1::methods::List>([this, name](const auto&) -> Result<runtime::v1::ListResponse> {
      SKEP_TRY(answer(name, "list"));
      runtime::v1::ListResponse response;
      response.add_containers()->set_container_id("of " + name);
      response.mutable_containers(0)->set_state(runtime::v1::CONTAINER_STATE_EXITED);
      return response;
    });
    serve_recover<runtime::v1::methods::Recover>(*table, name);
    serve_recover<network::v1::methods::Recover>(*table, name);
    serve_recover<volume::v1::methods::Recover>(*table, name);
    bus_.attach(name, "realm", {name}, *table, {});
    running[name] = ++incarnations_;
  }
  void down(const std::string& name) {
    if (running.erase(name) != 0) {
      bus_.detach(name);
    }
  }
  /// It does not answer, and how likely it is to.
  void missing(const std::string& name, Outlook outlook) {
    down(name);
    absent[name] = outlook;
  }
  /// What was asked of the drivers since the last time, in order.
  std::vector<std::string> take_asked() { return std::exchange(asked, {}); }
  DriverView view() {
    return {.running =
                [this] {
                  std::vector<host::DriverState> out;
                  for (const auto& [name, incarnation] : running) {
                    out.push_back({name, incarnation});
                  }
                  return out;
                },
            .absent =
                [this] {
                  std::vector<host::AbsentDriver> out;
                  for (const auto& [name, outlook] : absent) {
                    const std::string plugin = name.substr(name.find('/') + 1);
                    out.push_back({name, plugin, "plugin '" + plugin + "' is starting", outlook});
                  }
                  return out;
                }};
  }

  rpc::Caller* caller = nullptr;
  std::map<std::string, std::uint64_t> running;
  std::map<std::string, Outlook> absent;
  std::map<std::string, Error> errors;  ///< what a driver answers instead
  std::map<std::string, bool> silent;   ///< recover is not answered but kept in `waiting`
  std::vector<std::function<void()>> waiting;
  std::vector<std::string> asked;

 private:
  Status answer(const std::string& name, const std::string& what) {
    asked.push_back(what + " " + name);
    const auto error = errors.find(name);
    return error == errors.end() ? ok() : Status(error->second);
  }
  template <class M>
  void serve_recover(rpc::MethodTable& table, const std::string& name) {
    table.on<M>([this, name](const auto& /*request*/, const auto& /*context*/, auto reply) {
      const auto status = answer(name, "recover");
      const auto tell = [reply, status] {
        status ? reply(typename M::Response()) : reply(status.error());
      };
      silent[name] ? waiting.push_back(tell) : tell();
    });
  }

  testing::LocalBus bus_{loop};
  rpc::MethodTable nothing_;
  std::map<std::string, std::unique_ptr<rpc::MethodTable>> tables_;
  std::uint64_t incarnations_ = 0;
};

}  // namespace skep::agentd
