#pragma once

// A client of an agent's control socket: connects, says HELLO, and is then a Caller. agentctl and
// tests use it. One thread, one Loop.
//
//   SKEP_TRY_ASSIGN(auto client, ControlClient::connect(loop, {.path = "/run/skep/control.sock"}));
//   rpc::call<control::v1::methods::ListServices>(client->caller(), "core", request, {}, ...);

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "skep/env.h"
#include "skep/rpc_endpoint.h"

namespace skep::bus {

class StreamConnection;

class ControlClient {
 public:
  struct Options {
    std::string path;                 ///< of the control socket
    std::string version = "agentctl";  ///< told to the agent, for its logs
  };
  /// Connects at once. kUnavailable: no agent listens there (says how to start one);
  /// kPermissionDenied: this user may not.
  static Result<std::unique_ptr<ControlClient>> connect(Loop& loop, Options options);
  ~ControlClient();
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;

  /// Calls can be made at once; they fail with kUnavailable when the connection ends.
  rpc::Caller& caller() { return *endpoint_; }
  [[nodiscard]] bool connected() const { return connection_ != nullptr; }
  /// What the agent said of itself; empty until its WELCOME came.
  [[nodiscard]] const std::optional<v1::Welcome>& welcome() const { return welcome_; }
  /// Called once when the agent goes away or rejects us, after every call in flight has failed.
  void set_on_closed(std::function<void(const std::string& why)> on_closed) {
    on_closed_ = std::move(on_closed);
  }

 private:
  ControlClient(Loop& loop, Options options);
  void on_frame(const std::string& header, std::string body);
  void close(const std::string& why);

  Options options_;
  rpc::MethodTable table_;  // empty: nobody calls a client
  std::shared_ptr<StreamConnection> connection_;
  std::unique_ptr<rpc::RpcEndpoint> endpoint_;
  std::optional<v1::Welcome> welcome_;
  std::function<void(const std::string&)> on_closed_;
};

}  // namespace skep::bus
