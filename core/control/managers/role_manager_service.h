#pragma once

// Runs the role manager while this manager leads: asks consensus for its status every second (and
// at once when something changed), performs one step at a time, and adds nodes that join.
// Loop thread only.

#include <functional>
#include <memory>
#include <string>

#include "core/bus/peers.h"
#include "core/control/control_loop.h"
#include "core/control/managers/role_manager.h"
#include "skep/consensus.methods.h"
#include "skep/manager.pb.h"
#include "skep/rpc.h"

namespace skep::control {

class RoleManagerService final : public ControlLoop {
 public:
  struct Config {
    std::string consensus_target;
    std::string cluster_id;
    std::uint64_t incarnation = 0;
    bus::Peers* peers = nullptr;  ///< nodes that join are called back over these; nullptr: they are not
  };
  using OnStatus = std::function<void(Result<consensus::v1::StatusResponse>)>;

  RoleManagerService(const LoopContext& context, rpc::Caller& caller, Config config);
  ~RoleManagerService() override;
  RoleManagerService(const RoleManagerService&) = delete;
  RoleManagerService& operator=(const RoleManagerService&) = delete;

  void start() override;
  void on_commit(const store::Commit& commit) override;
  void stop() override;
  /// The members changed: look again.
  void members_changed();

  /// As manager.proto says; the caller was checked. Answers when the member is in the log. kFailedPrecondition
  /// ADDRESS_UNREACHABLE, see dial_back.h.
  void join(const manager::v1::JoinRequest& request, rpc::Reply<manager::v1::JoinResponse> reply);
  /// Whether the node's member can go without risk; success as well for a node that is none.
  void check_demotion(const std::string& node_id, std::function<void(Status)> done);
  /// Another manager is asked to lead; success when it was. kUnavailable: none could.
  void hand_over(std::function<void(Status)> done);
  /// Asks consensus now.
  void ask(OnStatus done);
  /// The newest status; empty at first.
  [[nodiscard]] const consensus::v1::StatusResponse& status() const { return status_; }

 private:
  struct Join;
  void look();
  void perform(const RoleStep& step);
  void change(const consensus::v1::ChangeMembersRequest& request);
  void arm(Duration delay);
  void begin_join(const std::shared_ptr<Join>& join);
  void try_join(const std::shared_ptr<Join>& join);
  void add_member(const std::shared_ptr<Join>& join, const consensus::v1::StatusResponse& status);
  void await_member(const std::shared_ptr<Join>& join);

  const LoopContext context_;
  rpc::Caller& caller_;
  const Config config_;
  consensus::v1::StatusResponse status_;
  bool looking_ = false;
  bool look_again_ = false;
  TimerId timer_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace skep::control
