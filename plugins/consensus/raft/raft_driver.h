#pragma once

// consensus/1 over the Raft state machine and the write-ahead log: performs what they decide. All on
// the plugin's own loop thread, which is its alone: the log is synced there, and everything that
// arrives meanwhile is one batch for the next sync.
//
// Node-local. When the log is poisoned or the state machine finds itself wrong, the driver gives up
// its role for good (status().healthy is false, calls answer why); the agent and its tasks stay.

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "plugins/consensus/raft/announcer.h"
#include "plugins/consensus/raft/delivery.h"
#include "plugins/consensus/raft/hand_over.h"
#include "plugins/consensus/raft/raft.h"
#include "plugins/consensus/raft/wal.h"
#include "skep/consensus.h"

namespace skep::raft {

struct DriverConfig {
  std::chrono::milliseconds tick{100};
  unsigned election_ticks = 10;
  std::uint64_t segment_bytes = 16ULL << 20;
  Index trailing_entries = 5'000;   ///< kept below a snapshot for members that lag behind
  Index snapshot_entries = 10'000;  ///< the core is asked for a snapshot this often
};
/// kInvalidArgument names the key and its range.
Result<DriverConfig> parse_config(const google::protobuf::Map<std::string, std::string>& config);

class RaftDriver final : public ConsensusDriver {
 public:
  RaftDriver();
  ~RaftDriver() override;

  Status start(const DriverContext& context) override;
  void stop() override;
  plugin::v1::StatusResponse status() override;

  void open(const consensus::v1::StartRequest& request,
            Reply<consensus::v1::StartResponse> reply) override;
  void propose(const consensus::v1::ProposeRequest& request,
               Reply<consensus::v1::ProposeResponse> reply) override;
  void read_barrier(Reply<consensus::v1::ReadBarrierResponse> reply) override;
  void change_members(const consensus::v1::ChangeMembersRequest& request,
                      Reply<consensus::v1::ChangeMembersResponse> reply) override;
  void transfer_leadership(const consensus::v1::TransferLeadershipRequest& request,
                           Reply<consensus::v1::TransferLeadershipResponse> reply) override;
  consensus::v1::StatusResponse consensus_status() override;
  void snapshot_available(const consensus::v1::SnapshotAvailableRequest& request) override;
  void deliver(const consensus::v1::DeliverRequest& request) override;
  void peer_gone(const consensus::v1::PeerGoneRequest& request) override;

  [[nodiscard]] const Wal* wal() const { return wal_.get(); }
  [[nodiscard]] const Raft* raft() const { return raft_.get(); }

 private:
  Status open_log(const consensus::v1::StartRequest& request);
  Status open_wal(const consensus::v1::StartRequest& request);
  /// So that there is one; nothing is opened.
  Result<consensus::v1::StartResponse> make_log(const consensus::v1::StartRequest& request);
  /// To be read to its end: no member, no vote, no new entry.
  Status open_for_recovery(const consensus::v1::StartRequest& request);
  void close_log();
  Status check_applied(const consensus::v1::StartRequest& request) const;
  Status bootstrap(const consensus::v1::StartRequest& request);
  Status begin_after(const consensus::v1::StartRequest& request);
  Result<Membership> members_at(Index index);
  Status reopen(const consensus::v1::StartRequest& request);
  [[nodiscard]] Status ready_for_calls() const;

  void schedule_pump();
  void pump();
  void run_rounds();
  Status persist(const Ready& ready);
  void finish(const Ready& ready);
  void stall(Ready ready, const Error& error);
  void retry_stalled();
  void out_of_room(const Error& why, std::size_t bytes);
  void look_for_room();
  void consider_hand_over();
  void answer_accepted(const Ready& ready);
  void answer_reads(const Ready& ready);
  void fail_reads(const Error& error);
  void send_messages(const std::vector<Message>& messages);
  void announce_leadership();
  void announce_members(Index index);
  void arm_tick();
  void deliver_committed();
  void on_delivered(DeliveryWindow::Ticket ticket, Result<consensus::v1::CommittedResponse> reply);
  void want_snapshot();
  void compact_log();
  void fetch_state();
  void on_fetched(Result<consensus::v1::FetchSnapshotResponse> reply);
  void give_up(const Error& error);
  /// Runs `work`; a broken invariant in it makes the driver give up.
  template <class F>
  void guarded(F&& work) {
    try {
      work();
    } catch (const BrokenInvariant& broken) {
      give_up_broken(broken.what());
    }
  }
  void give_up_broken(const char* what);

  struct Proposal {
    Term term;
    std::function<void(Result<Raft::Accepted>)> done;
  };

  Env* env_ = nullptr;
  rpc::Caller* core_ = nullptr;
  DriverConfig config_;
  std::string directory_;
  std::string cluster_;
  MemberId member_ = kNobody;
  std::unique_ptr<Wal> wal_;
  std::unique_ptr<Raft> raft_;
  std::optional<Announcer<consensus::v1::methods::Leadership>> leadership_;
  std::optional<Announcer<consensus::v1::methods::Members>> members_;
  HardState newest_state_;  ///< a commit index alone waits here for the next batch
  DeliveryWindow delivery_;
  std::map<Index, Proposal> proposals_;  ///< accepted by the core, not yet synced
  std::size_t unsynced_bytes_ = 0;       ///< of those
  std::map<std::string, Reply<consensus::v1::ReadBarrierResponse>> reads_;
  std::string read_prefix_;
  std::uint64_t read_counter_ = 0;
  std::optional<Ready> stalled_;  ///< waits for disk space; the state machine stands still
  std::optional<Error> failure_;  ///< gave up because of it
  std::optional<HandOver> hand_over_;  ///< what the disk is like; set in start()
  bool stepping_aside_ = false;        ///< handed over while stalled: follows once the log takes entries again
  Index snapshot_wanted_at_ = 0;
  Index safe_state_ = 0;   ///< the core said so since it started; the log may not be that far yet
  bool fetching_ = false;  ///< the core was asked for the state at the mark
  bool pump_scheduled_ = false;
  bool recovering_ = false;  ///< the log is only read, see StartRequest.recover
  TimerId tick_timer_ = 0;
  TimerId stall_timer_ = 0;
  TimerId room_timer_ = 0;
  TimerId delivery_timer_ = 0;
  TimerId fetch_timer_ = 0;
  std::shared_ptr<char> alive_;  ///< callbacks hold it weakly: they may outlive stop()
};

}  // namespace skep::raft
