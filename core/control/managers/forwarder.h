#pragma once

// Takes requests that any manager may be asked to the one that leads: here when it leads, else to
// the leader's core, once. A request that another manager passed on is never passed on again. While
// nobody leads, requests wait for a leader, at most 10 s. Loop thread only.
//
// When the connection to the leader breaks, a read is asked again, and so is a write that its
// operation id makes repeatable, once another manager leads: what the old leader did not commit
// never will be. For other writes the answer says that the outcome is not known (kUnavailable
// OUTCOME_UNKNOWN). What surely was not run is tried again.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/bus/peers.h"
#include "core/control/leader_route.h"
#include "skep/env.h"
#include "skep/rpc.h"

namespace skep::control {

/// The error that says that this manager does not lead but another one does.
Error not_leader_error();
/// Whether a request that was answered so surely was not run, because it met no leader.
bool met_no_leader(const Error& error);

class Forwarder {
 public:
  /// Calls back, perhaps at once, when it is known who leads; kUnavailable NO_LEADER after `wait`.
  using FindLeader =
      std::function<void(Duration wait, std::function<void(Result<LeaderRoute>)> then)>;

  Forwarder(Env& env, bus::Peers* peers, FindLeader find_leader);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  /// Another manager leads now: what was passed on to the one before, which may only hang, is not
  /// waited for any longer.
  void leader_is(const LeaderRoute& route);

  /// kRepeatable: a write that changes nothing more when it is asked again with its operation id.
  enum class Kind { kRead, kWrite, kRepeatable };
  /// `local` answers the method here. It and `body` are kept until the request is answered.
  void call(Kind kind, const std::string& method, const rpc::MethodTable::UnaryHandler& local,
            rpc::Body body, const rpc::CallContext& context, rpc::OnReply reply);
  void stream(const std::string& method, const rpc::MethodTable::StreamHandler& local,
              rpc::Body first, std::shared_ptr<rpc::ServerStream> stream);

 private:
  class Request;

  Env& env_;
  bus::Peers* const peers_;
  const FindLeader find_leader_;
  std::map<std::uint64_t, std::weak_ptr<Request>> passed_on_;  ///< oldest first: runs of the simulator repeat
  std::uint64_t times_passed_on_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace skep::control
