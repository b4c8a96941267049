#pragma once

// The caller of the node side: target "manager" goes to the manager that serves this node now, on this
// machine or another; everything else to the bus of this agent. Loop thread only.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/agentd/manager_book.h"
#include "core/bus/peers.h"
#include "skep/rpc.h"

namespace skep::agentd {

inline constexpr std::string_view kManagerTarget = "manager";

class ManagerCaller final : public rpc::Caller {
 public:
  /// What this agent itself knows: its own manager's view of who leads.
  struct Local {
    bool leads = false;
    std::optional<ManagerAddress> leader = {};  ///< another node, as our own manager knows
  };
  ManagerCaller(rpc::Caller& bus, bus::Peers& peers, ManagerBook& book,
                std::function<Local()> local, std::function<std::string()> self);
  ~ManagerCaller() override;

  rpc::CallId call(std::string target, std::string_view method, rpc::Body body, rpc::CallOptions options,
                   rpc::OnReply on_reply) override;
  void cancel(rpc::CallId id) override;
  std::shared_ptr<rpc::ClientStream> open(std::string target, std::string_view method, rpc::Body body,
                                          rpc::CallOptions options, rpc::StreamHandlers handlers) override;
  /// Who was asked last for a stream did not answer, and the asker gave up: the next is asked.
  void on_silence() { book_.failed(streams_to_); }

 private:
  struct Route {
    rpc::Caller* caller = nullptr;
    std::string node_id;  ///< empty: this agent
  };
  struct Open {
    rpc::Caller* caller = nullptr;
    rpc::CallId id = 0;
  };
  [[nodiscard]] Route route();
  void note(const std::string& node_id, const Error& error);

  rpc::Caller& bus_;
  bus::Peers& peers_;
  ManagerBook& book_;
  const std::function<Local()> local_;
  const std::function<std::string()> self_;
  std::string streams_to_;  // node id
  rpc::CallId last_id_ = 0;
  std::map<rpc::CallId, Open> open_;  // calls to managers and drivers alike
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace skep::agentd
