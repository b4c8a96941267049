#include "plugins/consensus/raft/raft_driver.h"

#include <algorithm>

#include "skep/log.h"

namespace skep::raft {
namespace {

namespace v1 = consensus::v1;

constexpr std::size_t kReadsMax = 10'000;

}  // namespace

RaftDriver::RaftDriver() = default;
RaftDriver::~RaftDriver() { RaftDriver::stop(); }

Status RaftDriver::start(const DriverContext& context) {
  SKEP_TRY_ASSIGN(config_, parse_config(context.start.config()));
  if (context.start.state_dir().empty()) {
    return Error{Code::kInvalidArgument, "the plugin was given no state directory"};
  }
  env_ = &context.env;
  core_ = &context.core;
  directory_ = context.start.state_dir() + "/log";
  hand_over_.emplace(config_.tick * config_.election_ticks);
  alive_ = std::make_shared<char>();
  // Contexts of reads are never used twice, also not by the next process (etcd #20418).
  read_prefix_ = env_->random.bytes(8);
  leadership_.emplace(env_->loop, *core_);
  members_.emplace(env_->loop, *core_);
  return ok();
}

void RaftDriver::stop() {
  if (alive_ == nullptr) {
    return;
  }
  alive_.reset();
  leadership_->stop();
  members_->stop();
  close_log();
}

void RaftDriver::close_log() {
  for (TimerId* timer : {&tick_timer_, &stall_timer_, &room_timer_, &delivery_timer_, &fetch_timer_}) {
    env_->loop.cancel_timer(std::exchange(*timer, 0));
  }
  const Error stopped{Code::kTimeout, "the log is being closed; whether it took this is unknown",
                      "PROPOSAL_UNKNOWN"};
  for (auto& [index, proposal] : std::exchange(proposals_, {})) {
    proposal.done(stopped);
  }
  fail_reads({Code::kUnavailable, "the log is being closed", "LOG_CLOSED"});
  stalled_.reset();
  stepping_aside_ = false;
  hand_over_->on_room();
  unsynced_bytes_ = 0;
  raft_.reset();
  wal_.reset();
}

plugin::v1::StatusResponse RaftDriver::status() {
  plugin::v1::StatusResponse response;
  response.set_healthy(!failure_ && !stalled_);
  auto& details = *response.mutable_details();
  if (failure_) {
    response.set_description(failure_->message);
  } else if (stalled_) {
    response.set_description("waits for disk space");
  } else if (raft_ == nullptr) {
    response.set_description("no log is open");
  } else {
    response.set_description(std::string(role_name(raft_->role())));
    details["term"] = std::to_string(raft_->term());
    details["commit_index"] = std::to_string(raft_->log().committed());
    details["segments"] = std::to_string(wal_->segment_count());
    details["syncs"] = std::to_string(wal_->syncs());
  }
  return response;
}

Status RaftDriver::ready_for_calls() const {
  if (failure_) {
    return *failure_;
  }
  if (raft_ == nullptr) {
    return Error{Code::kFailedPrecondition, "no log is open: this node is not a manager",
                 "LOG_NOT_OPEN"};
  }
  if (stalled_) {
    return Error{Code::kResourceExhausted, "the log waits for disk space: free some", "DISK_FULL"};
  }
  if (recovering_) {
    return Error{Code::kFailedPrecondition, "the swarm is being recovered from this log", "RECOVERING"};
  }
  return ok();
}

void RaftDriver::give_up_broken(const char* what) {
  give_up({Code::kInternal,
           std::string("the raft member found itself wrong: ") + what +
               "; restart agentd; when it says so again:" + std::string(kDamagedWayOut).substr(1),
           "RAFT_BROKEN"});
}

void RaftDriver::give_up(const Error& error) {
  if (failure_) {
    return;
  }
  SKEP_ERROR("raft gives up its role", {"error", error.message});
  failure_ = error;
  stalled_.reset();
  hand_over_->on_room();
  for (TimerId* timer : {&tick_timer_, &stall_timer_, &room_timer_, &fetch_timer_}) {
    env_->loop.cancel_timer(std::exchange(*timer, 0));
  }
  for (auto& [index, proposal] : std::exchange(proposals_, {})) {
    proposal.done(error);
  }
  fail_reads(error);
  v1::LeadershipRequest nobody;
  nobody.set_term(raft_ == nullptr ? 0 : raft_->term());
  leadership_->announce(nobody);
}

void RaftDriver::propose(const v1::ProposeRequest& request, Reply<v1::ProposeResponse> reply) {
  if (auto usable = ready_for_calls(); !usable) {
    return reply(std::move(usable).error());
  }
  const std::size_t bytes = request.data().size() + 64;
  if (request.data().size() <= kEntryBytesMax && raft_->role() == Role::kLeader) {
    // Room on disk first: what is refused here is surely not in the log.
    if (auto room = wal_->reserve(unsynced_bytes_ + bytes); !room) {
      if (wal_->poison()) {
        give_up(room.error());
      } else {
        out_of_room(room.error(), unsynced_bytes_ + bytes);
      }
      return reply(std::move(room).error());
    }
  }
  guarded([&] {
    auto accepted = raft_->propose(request.data());
    if (!accepted) {
      return reply(std::move(accepted).error());
    }
    unsynced_bytes_ += bytes;
    proposals_[accepted->index] = {accepted->term, [reply](Result<Raft::Accepted> result) {
                                     if (!result) {
                                       return reply(std::move(result).error());
                                     }
                                     v1::ProposeResponse response;
                                     response.set_index(result->index);
                                     response.set_term(result->term);
                                     reply(std::move(response));
                                   }};
    schedule_pump();
  });
}

void RaftDriver::change_members(const v1::ChangeMembersRequest& request,
                                Reply<v1::ChangeMembersResponse> reply) {
  if (auto usable = ready_for_calls(); !usable) {
    return reply(std::move(usable).error());
  }
  ConfigChange change;
  for (const v1::Member& member : request.add()) {
    change.steps.push_back({MemberStep::Kind::kAdd,
                            {member.id(), member.node_id(), member.address(), member.learner()}});
  }
  for (const std::uint64_t id : request.remove()) {
    change.steps.push_back({MemberStep::Kind::kRemove, {id, {}, {}, false}});
  }
  if (change.steps.empty()) {
    return reply(Error{Code::kInvalidArgument, "a change of the members names nobody"});
  }
  guarded([&] {
    auto accepted = raft_->propose_change(change);
    if (!accepted) {
      return reply(std::move(accepted).error());
    }
    proposals_[accepted->index] = {accepted->term, [reply](Result<Raft::Accepted> result) {
                                     if (!result) {
                                       return reply(std::move(result).error());
                                     }
                                     v1::ChangeMembersResponse response;
                                     response.set_index(result->index);
                                     reply(std::move(response));
                                   }};
    schedule_pump();
  });
}

void RaftDriver::transfer_leadership(const v1::TransferLeadershipRequest& request,
                                     Reply<v1::TransferLeadershipResponse> reply) {
  if (auto usable = ready_for_calls(); !usable) {
    return reply(std::move(usable).error());
  }
  guarded([&] {
    if (auto begun = raft_->transfer_leadership(request.to()); !begun) {
      return reply(std::move(begun).error());
    }
    reply(v1::TransferLeadershipResponse());
    schedule_pump();
  });
}

void RaftDriver::read_barrier(Reply<v1::ReadBarrierResponse> reply) {
  if (auto usable = ready_for_calls(); !usable) {
    return reply(std::move(usable).error());
  }
  if (reads_.size() >= kReadsMax) {
    return reply(Error{Code::kResourceExhausted, "too many reads wait for the leader's quorum"});
  }
  guarded([&] {
    const std::string context = read_prefix_ + std::to_string(++read_counter_);
    if (auto asked = raft_->read_index(context); !asked) {
      return reply(std::move(asked).error());
    }
    reads_.emplace(context, std::move(reply));
    schedule_pump();
  });
}

void RaftDriver::fail_reads(const Error& error) {
  for (auto& [context, reply] : std::exchange(reads_, {})) {
    reply(error);
  }
}

v1::StatusResponse RaftDriver::consensus_status() {
  v1::StatusResponse response;
  if (failure_) {
    response.set_error(failure_->message);
  } else if (hand_over_ && hand_over_->full() != nullptr) {
    response.set_stalled(*hand_over_->full());
  }
  response.set_member_id(member_);
  if (raft_ == nullptr) {
    return response;
  }
  response.set_leader(failure_ || stepping_aside_ ? kNobody : raft_->leader());
  response.set_term(raft_->term());
  response.set_commit_index(raft_->log().committed());
  response.set_applied_index(delivery_.acknowledged());
  response.set_first_index(wal_->first_index());
  response.set_last_index(raft_->log().last_index());
  for (const Member& member : raft_->members().members) {
    v1::Member& out = *response.add_members();
    out.set_id(member.id);
    out.set_node_id(member.node_id);
    out.set_address(member.address);
    out.set_learner(member.learner);
  }
  if (!failure_ && raft_->role() == Role::kLeader) {
    for (const auto& [id, progress] : raft_->progress()) {
      v1::MemberProgress& out = *response.add_progress();
      out.set_id(id);
      out.set_match_index(progress.match);
      out.set_active(id == member_ || progress.silent_ticks < config_.election_ticks);
      out.set_awaits_state(progress.awaits_state);
    }
  }
  return response;
}

}  // namespace skep::raft
