#pragma once

// consensus/1: one ordered log of opaque entries, and who leads it. Calls come on the plugin's loop.
// The driver tells the core through context.core (target "core", consensus/1/committed and so on):
// committed entries in order and without a gap, each batch sent again until its answer came.

#include "skep/consensus.methods.h"
#include "skep/driver.h"

namespace skep {

class ConsensusDriver : public virtual Driver {
 public:
  template <class T>
  using Reply = rpc::Reply<T>;

  /// Opens or creates the log and begins to deliver entries above `applied_index`.
  virtual void open(const consensus::v1::StartRequest& request,
                    Reply<consensus::v1::StartResponse> reply) = 0;
  /// Success: durably accepted here at index and term; committed only when that event comes.
  /// kUnavailable: dropped, surely not in the log. kTimeout: unknown.
  virtual void propose(const consensus::v1::ProposeRequest& request,
                       Reply<consensus::v1::ProposeResponse> reply) = 0;
  virtual void read_barrier(Reply<consensus::v1::ReadBarrierResponse> reply) = 0;
  virtual void change_members(const consensus::v1::ChangeMembersRequest& request,
                              Reply<consensus::v1::ChangeMembersResponse> reply) = 0;
  virtual void transfer_leadership(const consensus::v1::TransferLeadershipRequest& request,
                                   Reply<consensus::v1::TransferLeadershipResponse> reply) = 0;
  virtual consensus::v1::StatusResponse consensus_status() = 0;
  virtual void snapshot_available(const consensus::v1::SnapshotAvailableRequest& request) = 0;
  virtual void deliver(const consensus::v1::DeliverRequest& request) = 0;
  /// A hint; a driver that needs none ignores it.
  virtual void peer_gone(const consensus::v1::PeerGoneRequest& request) { (void)request; }
};

void bind_driver(rpc::MethodTable& table, ConsensusDriver& driver, Env& env);

}  // namespace skep
