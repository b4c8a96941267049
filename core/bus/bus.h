#pragma once

// The bus of one agent: router, carriers and the core's own end of it, on one loop thread. agentd
// makes it first and destroys it last. The core answers through table() as target "core" and calls
// drivers through caller(); calls of the core to "core" work too.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/bus/router.h"
#include "core/bus/zmq_socket.h"
#include "skep/rpc_endpoint.h"

namespace skep::bus {

class Carrier;
struct CarrierEvents;

struct BusOptions {
  std::string bus_socket = {};      ///< path of the ipc socket file; empty: none
  std::string control_socket = {};  ///< path of the control socket; empty: none
  int control_mode = 0600;
  RouterOptions router = {};  ///< epoch is drawn from `random`; admit decides who joins
};

/// Told after the fact, from the loop.
struct BusEvents {
  std::function<void(const std::string& name)> on_joined = {};
  std::function<void(const std::string& name)> on_suspected = {};
  std::function<void(const std::string& name, const std::string& why)> on_gone = {};
};

class Bus {
 public:
  /// `loop` outlives the bus.
  Bus(Loop& loop, Random& random, BusOptions options, BusEvents events = {});
  /// Closes as stop() does, but calls nobody: who made the calls in flight may be gone already.
  ~Bus();
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;

  /// Binds everything. kAlreadyExists: another agent runs on the same sockets.
  Status start();
  /// Says BYE to everybody and closes; calls in flight fail with kUnavailable. Idempotent.
  void stop();

  /// What the core answers; methods may be added at any time.
  rpc::MethodTable& table() { return table_; }
  rpc::Caller& caller() { return *core_; }
  [[nodiscard]] rpc::EndpointStats core_stats() const { return core_->stats(); }

  /// Where in-process participants connect (PluginLink), with context().
  [[nodiscard]] const std::string& inproc_endpoint() const { return inproc_endpoint_; }
  [[nodiscard]] std::string ipc_endpoint() const { return "ipc://" + options_.bus_socket; }
  [[nodiscard]] std::shared_ptr<ZmqContext> context() const { return context_; }
  [[nodiscard]] std::uint64_t epoch() const { return options_.router.epoch; }

  [[nodiscard]] std::vector<Participant> participants() const { return router_->participants(); }
  [[nodiscard]] std::vector<std::string> targets() const { return router_->targets(); }
  /// Throws a participant off (its process died, it is being replaced); false when there is none.
  bool drop(const std::string& name, const std::string& why);

  /// Sees every frame until removed; for `agentctl bus trace`.
  std::uint64_t add_tap(std::function<void(const TraceFrame&)> tap);
  void remove_tap(std::uint64_t id);

 private:
  bool close();
  CarrierEvents carrier_events(std::size_t index);
  void on_frame(PeerId from, const std::string& header, std::string body);
  Status from_core(const std::string& header, std::string body);
  void perform(Effects effects);
  void perform_send(Send send);
  void deliver_to_core(Send send);
  void drain_core_inbox();
  void on_tick();
  void tap_changed();

  Loop& loop_;
  BusOptions options_;
  BusEvents events_;
  std::shared_ptr<ZmqContext> context_;
  std::string inproc_endpoint_;
  rpc::MethodTable table_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<rpc::RpcEndpoint> core_;
  std::vector<std::unique_ptr<Carrier>> carriers_;
  std::unordered_map<PeerId, std::size_t> carrier_of_;
  PeerId last_peer_ = kCorePeer;
  TimerId tick_timer_ = 0;
  unsigned core_sends_ = 0;       // > 0: inside the core's own call(); answers must wait
  std::deque<Send> core_inbox_;   // frames for the core that wait for the loop
  std::map<std::uint64_t, std::function<void(const TraceFrame&)>> taps_;
  std::uint64_t last_tap_ = 0;
  std::shared_ptr<Bus*> self_ = std::make_shared<Bus*>(this);  // for posted work
};

}  // namespace skep::bus
