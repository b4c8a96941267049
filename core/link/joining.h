#pragma once

// How a machine becomes a node: connects to a manager without a certificate, asks for the root, compares
// it with the token, makes sure that the manager itself is certified by it, and only then sends the
// token's secret with the request for a certificate. Loop thread only.

#include <functional>
#include <memory>
#include <string>

#include "core/link/join_token.h"
#include "core/link/tls.h"
#include "skep/ca.pb.h"
#include "skep/env.h"

namespace skep::link {

struct Joined {
  Credentials credentials;
  ca::v1::IssueResponse answer;
};

class Joining {
 public:
  using Done = std::function<void(Result<Joined>)>;
  struct Options {
    std::string address;  ///< "HOST:PORT" of a manager
    std::string version;
    Duration limit = std::chrono::seconds(20);
    /// Of a node that was in the swarm before; empty: it makes a new one.
    KeyedRequest key = {};
  };
  /// `request` comes without secret and certificate request. `done` is called once, from the loop.
  /// kUnavailable: nobody there, or the swarm has no leader now; kUnauthenticated WRONG_SWARM,
  /// NOT_A_MANAGER, CERTIFICATE_...; kPermissionDenied INVALID_TOKEN: rotated or made up.
  Joining(Env& env, Options options, JoinToken token, ca::v1::IssueRequest request, Done done);
  /// Gives up; `done` is not called.
  ~Joining();
  Joining(const Joining&) = delete;
  Joining& operator=(const Joining&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace skep::link
