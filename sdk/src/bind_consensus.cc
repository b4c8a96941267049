#include "skep/consensus.h"

namespace skep {

void bind_driver(rpc::MethodTable& table, ConsensusDriver& driver, Env&) {
  namespace v1 = consensus::v1;
  namespace methods = consensus::v1::methods;
  ConsensusDriver* const d = &driver;  // outlives the table: both belong to the plugin instance
  table.on<methods::Start>(
      [d](const auto& request, const auto&, auto reply) { d->open(request, std::move(reply)); });
  table.on<methods::Propose>(
      [d](const auto& request, const auto&, auto reply) { d->propose(request, std::move(reply)); });
  table.on<methods::ReadBarrier>(
      [d](const auto&, const auto&, auto reply) { d->read_barrier(std::move(reply)); });
  table.on<methods::ChangeMembers>([d](const auto& request, const auto&, auto reply) {
    d->change_members(request, std::move(reply));
  });
  table.on<methods::TransferLeadership>([d](const auto& request, const auto&, auto reply) {
    d->transfer_leadership(request, std::move(reply));
  });
  table.on_sync<methods::Status>(
      [d](const auto&) -> Result<v1::StatusResponse> { return d->consensus_status(); });
  table.on_sync<methods::SnapshotAvailable>(
      [d](const auto& request) -> Result<v1::SnapshotAvailableResponse> {
        d->snapshot_available(request);
        return v1::SnapshotAvailableResponse();
      });
  table.on_sync<methods::Deliver>([d](const auto& request) -> Result<v1::DeliverResponse> {
    d->deliver(request);
    return v1::DeliverResponse();
  });
  table.on_sync<methods::PeerGone>([d](const auto& request) -> Result<v1::PeerGoneResponse> {
    d->peer_gone(request);
    return v1::PeerGoneResponse();
  });
}

}  // namespace skep
