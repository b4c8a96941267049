// Opening and compacting the log of the raft driver. See raft_driver.h.

#include <algorithm>
#include <charconv>

#include "plugins/consensus/raft/raft_driver.h"
#include "skep/log.h"

namespace skep::raft {
namespace {

namespace v1 = consensus::v1;

constexpr Index kCompactStepMax = 1'000;

Error damaged(const std::string& message) {
  return Error{Code::kDataLoss, message + std::string(kDamagedWayOut), "LOG_DAMAGED"};
}

v1::StartResponse answer_of(const Membership& members, Index last, Index commit) {
  v1::StartResponse response;
  response.set_last_index(last);
  response.set_commit_index(commit);
  for (const Member& member : members.members) {
    v1::Member& out = *response.add_members();
    out.set_id(member.id);
    out.set_node_id(member.node_id);
    out.set_address(member.address);
    out.set_learner(member.learner);
  }
  return response;
}

Status read_number(const google::protobuf::Map<std::string, std::string>& config,
                   const std::string& key, std::uint64_t low, std::uint64_t high,
                   std::uint64_t& value) {
  const auto found = config.find(key);
  if (found == config.end() || found->second.empty()) {
    return ok();
  }
  const std::string& text = found->second;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < low || number > high) {
    return Error{Code::kInvalidArgument, "'" + key + "' must be a number from " +
                                             std::to_string(low) + " to " + std::to_string(high) +
                                             ", not '" + text + "'"};
  }
  value = number;
  return ok();
}

/// Up to where the entries here are committed, also by the state. One that was fetched may be ahead of the log, and
/// then proves nothing of entries that its leader will replace.
Index committed_by(const Wal& wal, const v1::StartRequest& request) {
  const Index known = std::max(wal.hard_state().commit, wal.mark().index);
  const Index applied = request.applied_index();
  const bool same = request.applied_term() == 0 ? !wal.mark().fetched : wal.term(applied) == request.applied_term();
  return applied <= wal.last_index() && same ? std::max(known, applied) : known;
}

}  // namespace

Result<DriverConfig> parse_config(const google::protobuf::Map<std::string, std::string>& config) {
  DriverConfig parsed;
  auto tick_ms = static_cast<std::uint64_t>(parsed.tick.count());
  std::uint64_t election_ticks = parsed.election_ticks;
  std::uint64_t segment_kib = parsed.segment_bytes / 1024;
  SKEP_TRY(read_number(config, "tick_ms", 1, 10'000, tick_ms));
  SKEP_TRY(read_number(config, "election_ticks", 3, 1'000, election_ticks));
  SKEP_TRY(read_number(config, "segment_kib", 8, 1'048'576, segment_kib));
  SKEP_TRY(read_number(config, "trailing_entries", 0, 10'000'000, parsed.trailing_entries));
  SKEP_TRY(read_number(config, "snapshot_entries", 1, 10'000'000, parsed.snapshot_entries));
  parsed.tick = std::chrono::milliseconds(tick_ms);
  parsed.election_ticks = static_cast<unsigned>(election_ticks);
  parsed.segment_bytes = segment_kib * 1024;
  return parsed;
}

void RaftDriver::open(const v1::StartRequest& request, Reply<v1::StartResponse> reply) {
  if (failure_) {
    return reply(*failure_);
  }
  if (stalled_) {
    return reply(Error{Code::kResourceExhausted, "the log waits for disk space: free some", "DISK_FULL"});
  }
  if (request.only_make() && raft_ == nullptr) {
    Result<v1::StartResponse> made = Error{Code::kInternal, "the log was not made"};
    guarded([&] { made = make_log(request); });
    wal_.reset();
    return failure_ ? reply(*failure_) : reply(std::move(made));
  }
  Status opened = ok();
  if (raft_ != nullptr && recovering_ != request.recover()) {
    close_log();
  }
  guarded([&] {
    opened = raft_ != nullptr      ? reopen(request)
             : request.recover() ? open_for_recovery(request)
                                 : open_log(request);
  });
  if (failure_) {
    return reply(*failure_);
  }
  if (!opened) {
    if (raft_ == nullptr) {
      wal_.reset();
    }
    return reply(std::move(opened).error());
  }
  reply(answer_of(raft_->members(), raft_->log().last_index(), raft_->log().committed()));
  if (!recovering_) {
    leadership_->repeat();
  }
  schedule_pump();
}

Status RaftDriver::check_applied(const v1::StartRequest& request) const {
  const Index applied = request.applied_index();
  if (applied > wal_->last_index() && wal_->mark().fetched) {
    return ok();  // The state came from another member that was ahead; the entries follow.
  }
  if (applied > wal_->last_index()) {
    return damaged(directory_ + ": the state holds entry " + std::to_string(applied) + ", the log ends at " +
                   std::to_string(wal_->last_index()) + ": the log was lost or is an old copy");
  }
  // Others can give the state again; it was lost between a snapshot's mark and its state.
  const auto voters = wal_->mark().membership.voters();
  const bool others = std::any_of(voters.begin(), voters.end(),
                                  [&](MemberId id) { return id != request.member_id(); });
  if (applied + 1 < wal_->first_index() && !others) {
    return Error{Code::kDataLoss,
                 directory_ + ": the state of the swarm (manager.db) ends at entry " + std::to_string(applied) +
                     ", the log begins at " + std::to_string(wal_->first_index()) +
                     ": the state was lost or is an old copy, no other manager has it, and the log alone cannot "
                     "make it again; put manager.db back from a copy, or restore a backup ('agentctl backup "
                     "restore --replace FILE')",
                 "STATE_LOST"};
  }
  if (request.applied_term() != 0 && applied > 0 && applied + 1 >= wal_->first_index() && !wal_->mark().fetched &&
      wal_->term(applied) != request.applied_term()) {
    return damaged(directory_ + ": the state holds entry " + std::to_string(applied) + " of term " +
                   std::to_string(request.applied_term()) + ", the log holds another one");
  }
  return ok();
}

Status RaftDriver::bootstrap(const v1::StartRequest& request) {
  const bool empty = wal_->last_index() == 0 && wal_->hard_state().term == 0;
  if (!empty || request.bootstrap().empty()) {
    return ok();
  }
  ConfigChange first;
  for (const v1::Member& member : request.bootstrap()) {
    first.steps.push_back({MemberStep::Kind::kAdd,
                           {member.id(), member.node_id(), member.address(), member.learner()}});
  }
  SKEP_TRY(apply_change({}, first));
  // Every first member writes the same entry, so it is committed before anybody voted.
  const Entry entry{.index = 1, .term = 1, .kind = EntryKind::kConfig,
                    .data = encode_config_change(first)};
  SKEP_TRY(wal_->append(std::vector{entry}, HardState{1, kNobody, 1}));
  return wal_->sync();
}

Result<Membership> RaftDriver::members_at(Index index) {
  Membership members = wal_->mark().membership;
  for (const Index at : wal_->config_indexes()) {
    if (at > index) {
      break;
    }
    SKEP_TRY_ASSIGN(const auto entries, wal_->entries(at, at, kEntryBytesMax));
    SKEP_TRY_ASSIGN(const ConfigChange change, decode_config_change(entries.front().data));
    if (auto after = apply_change(members, change)) {
      members = *std::move(after);  // One that was refused when it was applied is refused again.
    }
  }
  return members;
}

Status RaftDriver::begin_after(const v1::StartRequest& request) {
  // The term first: a crash in between leaves a log that is still empty.
  SKEP_TRY(wal_->append({}, HardState{std::max<Term>(request.applied_term(), 1), kNobody, 0}));
  SKEP_TRY(wal_->sync());
  SnapshotMark mark;
  mark.index = request.applied_index();
  mark.term = std::max<Term>(request.applied_term(), 1);
  ConfigChange first;
  for (const v1::Member& member : request.bootstrap()) {
    first.steps.push_back({MemberStep::Kind::kAdd,
                           {member.id(), member.node_id(), member.address(), member.learner()}});
  }
  SKEP_TRY_ASSIGN(mark.membership, apply_change({}, first));
  return wal_->set_mark(mark);
}

Status RaftDriver::open_wal(const v1::StartRequest& request) {
  WalOptions options;
  options.directory = directory_;
  options.cluster = request.cluster_id();
  options.member = request.member_id();
  options.segment_bytes = config_.segment_bytes;
  options.must_exist = request.must_exist();
  SKEP_TRY_ASSIGN(wal_, Wal::open(env_->disk, std::move(options)));
  if (request.begins_after_applied() && !request.bootstrap().empty() && request.applied_index() > 0 &&
      wal_->last_index() == 0 && wal_->mark().index == 0) {
    SKEP_TRY(begin_after(request));
  }
  SKEP_TRY(check_applied(request));
  cluster_ = request.cluster_id();
  member_ = request.member_id();
  newest_state_ = wal_->hard_state();
  snapshot_wanted_at_ = wal_->mark().index;
  recovering_ = request.recover();
  return ok();
}

Result<v1::StartResponse> RaftDriver::make_log(const v1::StartRequest& request) {
  SKEP_TRY(open_wal(request));
  SKEP_TRY(bootstrap(request));
  // What lies in the log's directory is synced; its own name is not, when it is new.
  SKEP_TRY(env_->disk.sync_directory(directory_.substr(0, directory_.rfind('/'))));
  SKEP_TRY_ASSIGN(const Membership members, members_at(wal_->last_index()));
  return answer_of(members, wal_->last_index(), wal_->hard_state().commit);
}

Status RaftDriver::open_for_recovery(const v1::StartRequest& request) {
  SKEP_TRY(open_wal(request));
  if (request.applied_index() + 1 < wal_->first_index()) {
    return Error{Code::kDataLoss,
                 directory_ + ": this manager was still fetching the state of the swarm, and holds only a part; "
                              "recover from another manager, or restore a backup",
                 "STATE_INCOMPLETE"};
  }
  // What was not known to be committed may have been acknowledged: the whole log counts.
  HardState all = wal_->hard_state();
  all.commit = wal_->last_index();
  RaftOptions options;
  options.id = member_;
  options.random = [this](std::uint64_t bound) { return env_->random.below(bound); };
  delivery_.restart(request.applied_index());
  raft_ = std::make_unique<Raft>(std::move(options), *wal_, all, Membership{}, wal_->last_index());
  SKEP_INFO("raft log opened to recover from it", {"member", member_}, {"first", wal_->first_index()},
            {"last", wal_->last_index()}, {"applied", request.applied_index()});
  return ok();
}

Status RaftDriver::open_log(const v1::StartRequest& request) {
  SKEP_TRY(open_wal(request));
  SKEP_TRY(bootstrap(request));
  // A state that ends below the log must be fetched, whatever else is known to be committed.
  const bool state_missing = request.applied_index() + 1 < wal_->first_index();
  if (state_missing && !wal_->mark().fetched) {
    // What is fetched may be ahead of the log until the entries follow, also when this member dies meanwhile.
    SnapshotMark mark = wal_->mark();
    mark.fetched = true;
    SKEP_TRY(wal_->set_mark(mark));
  }
  const Index applied =
      state_missing ? request.applied_index() : committed_by(*wal_, request);
  SKEP_TRY_ASSIGN(Membership members, members_at(std::max(applied, wal_->mark().index)));
  RaftOptions raft_options;
  raft_options.id = request.member_id();
  raft_options.election_ticks = config_.election_ticks;
  raft_options.ready_bytes_max =
      std::min<std::size_t>(raft_options.ready_bytes_max, wal_->capacity_bytes() / 2);
  raft_options.random = [this](std::uint64_t bound) { return env_->random.below(bound); };
  delivery_.restart(request.applied_index());
  safe_state_ = 0;
  newest_state_ = wal_->hard_state();
  raft_ = std::make_unique<Raft>(std::move(raft_options), *wal_, wal_->hard_state(),
                                 std::move(members), applied);
  SKEP_INFO("raft log opened", {"member", member_}, {"first", wal_->first_index()},
            {"last", wal_->last_index()}, {"commit", raft_->log().committed()},
            {"applied", request.applied_index()}, {"cut_bytes", wal_->torn_bytes()});
  if (raft_->is_only_voter()) {
    raft_->campaign();  // Nobody else to wait for.
  }
  announce_members(applied);
  announce_leadership();
  return ok();
}

Status RaftDriver::reopen(const v1::StartRequest& request) {
  if (request.member_id() != member_ || request.cluster_id() != cluster_) {
    return Error{Code::kFailedPrecondition,
                 "the log of member " + std::to_string(member_) + " of cluster '" + cluster_ +
                     "' is open; restart the plugin for another one",
                 "WRONG_CLUSTER"};
  }
  SKEP_TRY(check_applied(request));
  env_->loop.cancel_timer(std::exchange(delivery_timer_, 0));
  delivery_.restart(request.applied_index());
  safe_state_ = 0;  // what it held before may be lost
  return ok();
}

void RaftDriver::snapshot_available(const v1::SnapshotAvailableRequest& request) {
  if (!ready_for_calls()) {
    return;
  }
  safe_state_ = std::max<Index>(safe_state_, request.index());
  guarded([this] { compact_log(); });
}

void RaftDriver::compact_log() {
  const Index safe = std::min({safe_state_, delivery_.acknowledged(), raft_->log().applied()});
  if (safe <= config_.trailing_entries) {
    return;
  }
  const Index index = safe - config_.trailing_entries;
  // A mark costs a sync: not for a handful of entries.
  const Index step = std::clamp<Index>(config_.snapshot_entries / 10, 1, kCompactStepMax);
  if (index < wal_->mark().index + step) {
    return;
  }
  const auto term = wal_->term(index);
  if (!term) {
    return;
  }
  // As long as the entries up to a fetched state did not follow, it is no sign of a lost log.
  const bool ahead = wal_->mark().fetched && wal_->last_index() < delivery_.acknowledged();
  auto members = members_at(index);
  const Status marked = members ? wal_->set_mark({index, *term, *std::move(members), ahead})
                                : Status(std::move(members).error());
  if (marked) {
    SKEP_DEBUG("raft log compacted", {"first", wal_->first_index()}, {"segments", wal_->segment_count()});
  } else if (wal_->poison()) {
    give_up(marked.error());
  } else {
    SKEP_WARN("raft log not compacted", {"error", marked.error().message});
    safe_state_ = 0;  // until the core speaks of the next one
  }
}

}  // namespace skep::raft
