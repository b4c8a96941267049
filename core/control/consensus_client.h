#pragma once

// The core's end of consensus/1: opens the log, applies what is committed to the store, proposes
// change sets and says when this manager leads. Survives restarts of the plugin: it opens the log
// again above what it applied and ignores what comes twice. Loop thread only.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/sealing.h"
#include "core/control/proposal_tracker.h"
#include "core/store/proposer.h"
#include "core/store/store.h"
#include "skep/consensus.methods.h"
#include "skep/env.h"
#include "skep/rpc.h"

namespace skep::control {

/// What only the consensus driver of this node may say.
Status check_driver(const rpc::CallContext& context);

class ConsensusClient final : public store::Proposer {
 public:
  struct Config {
    std::string target = "consensus/raft";
    std::string cluster_id;
    std::string node_id;
    std::uint64_t member_id = 0;
    std::vector<consensus::v1::Member> bootstrap = {};  ///< only when the cluster is made
    std::chrono::milliseconds proposal_timeout{30'000};
    /// What the log's entries are sealed with; nullptr: not at all.
    std::shared_ptr<const base::Sealer> sealer = {};
    bool begins_after_applied = false;  ///< as StartRequest says
    bool recover = false;               ///< the log is only read to its end: on_read_out
    bool log_made = false;              ///< it was there before: an empty one is fatal (LOG_LOST)
  };
  struct Handlers {
    /// true: this manager leads and has applied everything committed before; false: no longer.
    std::function<void(bool leading, std::uint64_t term)> on_leading;
    /// The log is open (again): entries come from now on.
    std::function<void()> on_open;
    /// The log cannot be opened and trying again will not help (damaged, other cluster).
    std::function<void(const Error&)> on_fatal;
    /// The members of the log changed, or became known.
    std::function<void(const std::vector<consensus::v1::Member>&)> on_members = {};
    /// Another member leads (0: nobody known), or this one does.
    std::function<void(std::uint64_t leader_id)> on_leader = {};
    /// The store holds everything that a log opened with `recover` does. Once.
    std::function<void()> on_read_out = {};
    /// The log is made, and opened once that is noted durably as Config.log_made; an error is tried again.
    std::function<Status()> on_made = {};
  };

  ConsensusClient(Env& env, rpc::Caller& caller, store::Store& store, Config config, Handlers handlers);
  ~ConsensusClient() override;
  ConsensusClient(const ConsensusClient&) = delete;
  ConsensusClient& operator=(const ConsensusClient&) = delete;

  /// Answers consensus/1/{committed,leadership,members} of the driver on this node; `client` may
  /// answer nullptr (no manager here), and is asked for every request.
  static void register_methods(rpc::MethodTable& table, std::function<ConsensusClient*()> client);

  /// Opens the log above the store's applied index; tries again while the plugin is not there.
  void start();
  /// The plugin was restarted or is gone: opens again.
  void plugin_restarted();
  void stop();  ///< open proposals answer kUnavailable or kTimeout; nothing is called afterwards

  void propose(store::Transaction transaction, store::OnCommitted done) override;
  /// Answers once the store holds every write that was acknowledged before this call.
  void read_barrier(std::function<void(Status)> done);
  /// The log below may be compacted: the state up to `index` is safe on disk.
  void snapshot_available(std::uint64_t index, std::uint64_t term);

  /// The state is about to be replaced: entries are refused (and come again) until
  /// state_replaced().
  void hold_entries() { held_ = true; }
  /// The store holds another state now, or the same as before.
  void state_replaced();

  [[nodiscard]] bool leading() const { return leading_; }
  [[nodiscard]] bool is_open() const { return open_; }
  [[nodiscard]] std::uint64_t leader_id() const { return leader_id_; }
  [[nodiscard]] std::uint64_t term() const { return term_; }
  [[nodiscard]] const std::vector<consensus::v1::Member>& members() const { return members_; }
  /// Why the log is not open, for people; empty when it is.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

 private:
  Result<consensus::v1::CommittedResponse> on_committed(const consensus::v1::CommittedRequest& request);
  Result<consensus::v1::LeadershipResponse> on_leadership(const consensus::v1::LeadershipRequest& request);
  Result<consensus::v1::MembersResponse> on_members(const consensus::v1::MembersRequest& request);
  void on_opened(Result<consensus::v1::StartResponse> response);
  void on_made(Status made);
  void not_opened(const Error& error);
  void open_log();
  void check_read_out();
  void reopen_later();
  void confirm_leadership();
  void set_leading(bool leading);
  /// The change set in an entry.
  [[nodiscard]] Result<std::string> open_entry(const consensus::v1::Entry& entry) const;
  Status apply_entry(const consensus::v1::Entry& entry);
  void end_barriers();
  void on_proposed(const std::string& id, Result<consensus::v1::ProposeResponse> response);
  void answer(std::vector<ProposalTracker::Answer> answers);
  void arm_deadline();
  /// Wraps a callback so that it does nothing once this object stopped.
  template <class F>
  auto guarded(F f) {
    return [alive = std::weak_ptr<char>(alive_), f = std::move(f)](auto&&... arguments) mutable {
      if (!alive.expired()) {
        f(std::forward<decltype(arguments)>(arguments)...);
      }
    };
  }

  Env& env_;
  rpc::Caller& caller_;
  store::Store& store_;
  Config config_;  // log_made comes true
  Handlers handlers_;
  ProposalTracker tracker_;
  std::multimap<std::uint64_t, std::function<void(Status)>> barriers_;  // by index to be applied
  std::string proposer_prefix_;
  std::uint64_t proposals_ = 0;
  std::vector<consensus::v1::Member> members_;
  std::string trouble_;
  std::uint64_t leader_id_ = 0;
  std::uint64_t last_index_ = 0;  // of a log that is only read
  std::uint64_t term_ = 0;
  bool is_leader_ = false;  // as the log says
  bool leading_ = false;    // and everything committed before is applied
  bool open_ = false;
  bool opening_ = false;
  bool held_ = false;
  Duration backoff_{};
  TimerId reopen_timer_ = 0;
  TimerId deadline_timer_ = 0;
  std::shared_ptr<char> alive_;  // callbacks hold it weakly
};

}  // namespace skep::control
