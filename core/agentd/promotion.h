#pragma once

// How a node becomes a manager: it gets a manager's certificate, listens, and asks the managers to be
// taken in, again and again until it is or shall not be any more. Loop thread only.

#include <functional>
#include <memory>
#include <string>

#include "skep/env.h"
#include "skep/manager.pb.h"
#include "skep/rpc.h"

namespace skep::agentd {

class Promotion {
 public:
  struct Hooks {
    std::function<bool()> has_certificate;  ///< one that says manager
    std::function<void(std::function<void(const Status&)> done)> fetch_certificate;
    std::function<Status()> listen;
    std::function<void()> given_up;  ///< nothing of it may stay
    std::function<manager::v1::JoinRequest()> request;
    /// The log has this node as a member. To be kept before the manager starts: the id is used once. An
    /// error makes it ask again.
    std::function<Status(const manager::v1::JoinResponse&)> taken_in;
  };
  /// `managers` takes calls to target "manager".
  Promotion(Env& env, rpc::Caller& managers, Hooks hooks);
  ~Promotion();
  Promotion(const Promotion&) = delete;
  Promotion& operator=(const Promotion&) = delete;

  /// Nothing when it is under way.
  void begin();
  /// The swarm wants something else now. Nothing when it is not under way.
  void give_up(Error error);
  /// Somebody waits for settle(), for 20 s; then kTimeout JOIN_TIMEOUT, and the node goes on trying.
  void await(std::function<void(Status)> done);
  /// This node is a manager now, or why it cannot be.
  void settle(Status status);
  [[nodiscard]] bool under_way() const { return under_way_; }
  /// Why it takes so long; empty when nothing is wrong.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

 private:
  void step();
  void ask();
  void later(const Error& error);
  template <class F>
  auto mine(F callback);

  Env& env_;
  rpc::Caller& managers_;
  const Hooks hooks_;
  bool under_way_ = false;
  std::uint64_t attempt_ = 0;
  Duration pause_{};
  std::string trouble_;
  std::function<void(Status)> waiting_;
  TimerId timer_ = 0;
  TimerId limit_timer_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace skep::agentd
