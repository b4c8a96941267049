#pragma once

// The certificate of one machine of a simulated swarm: follows what sessions tell as agentd does, with agentd's
// own decisions (core/agentd/certificate_wishes.h). What it holds lies on the machine's disk; start() and stop()
// are those of its agent.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/agentd/certificate_wishes.h"
#include "core/link/tls.h"
#include "skep/ca.pb.h"
#include "skep/dispatch.pb.h"
#include "skep/rpc.h"

namespace skep::sim {

class NodeCertificate {
 public:
  struct Hooks {
    std::function<void()> asks;                             ///< for another certificate
    std::function<void(const link::Credentials&)> changed;  ///< it has another one, or other roots
  };
  NodeCertificate(std::string id, Hooks hooks);

  /// From now on `managers` answers at target "manager"; `describe` tells the managers the new TlsInfo. One without
  /// a certificate asks for its first. `manager`: its certificate has to say so.
  void start(Env& env, rpc::Caller& managers, std::function<void()> describe, bool manager);
  void stop();
  void follow(const dispatch::v1::SessionMessage& message);
  void take(link::Credentials fresh);
  void say_what_it_has();

  /// PKCS #10, of its key.
  [[nodiscard]] std::string request() const;
  /// nullopt: it has none yet.
  [[nodiscard]] const std::optional<link::Credentials>& credentials() const { return credentials_; }
  [[nodiscard]] const model::v1::TlsInfo& tls() const { return tls_; }

 private:
  void renew();
  void renew_in(Duration wait);
  Status take_renewed(link::Credentials fresh);

  const std::string id_;
  const Hooks hooks_;
  link::Credentials own_;  // with the key, from the beginning
  std::optional<link::Credentials> credentials_;
  model::v1::TlsInfo tls_;
  Env* env_ = nullptr;
  rpc::Caller* managers_ = nullptr;
  std::function<void()> describe_;
  bool manager_ = false;
  bool renewal_wished_ = false;
  TimerId timer_ = 0;
  agentd::Renewals renewals_;
  std::shared_ptr<char> alive_;  // of the agent
};

}  // namespace skep::sim
