#include "plugins/consensus/raft/wal.h"

#include <algorithm>

#include "skep/log.h"
#include "skep/mutant.h"

namespace skep::raft {
namespace {

/// Blocks are filled with zeros this far ahead of the records: a sync then commits data only, no
/// change of the file's extents (measured: a third of the time of a sync).
constexpr std::uint64_t kFillAheadBytes = 512 * 1024;
/// Room kept for the record that names the next segment.
constexpr std::uint64_t kSegmentEndBytes = 64;
/// What a batch needs besides its entries: watermark, truncation, hard state.
constexpr std::uint64_t kBatchExtraBytes = 256;
constexpr std::size_t kEntryFieldBytes = 17;
constexpr std::uint64_t kSegmentBytesMin = 8 * 1024;
constexpr std::uint64_t kSegmentBytesMax = 1ULL << 30;
constexpr std::size_t kSealBytesMax = 64;

Error lost(const WalOptions& options) {
  return Error{Code::kDataLoss,
               options.directory + ": the log of member " + std::to_string(options.member) +
                   " is empty though it was made before; a member that begins anew under its old id could "
                   "forget what it acknowledged, so this manager takes part in nothing; if other managers "
                   "live, run 'agentctl node demote NODE' and then 'agentctl node promote NODE' for this "
                   "node on one of them; if it is the only one, restore a backup ('agentctl backup restore "
                   "--replace FILE'), or go on from manager.db ('agentctl swarm init --force-new-cluster')",
               "LOG_LOST"};
}

}  // namespace

Wal::Wal(Disk& disk, WalOptions options) : disk_(disk), options_(std::move(options)) {}
Wal::~Wal() = default;

Result<std::unique_ptr<Wal>> Wal::open(Disk& disk, WalOptions options) {
  if (options.cluster.size() > 128 || options.member == kNobody ||
      options.segment_bytes < kSegmentBytesMin || options.segment_bytes > kSegmentBytesMax) {
    return Error{Code::kInvalidArgument,
                 "the log needs a member id, a cluster id of at most 128 bytes and segments of 8 KiB "
                 "to 1 GiB"};
  }
  SKEP_TRY(disk.make_directories(options.directory, 0700));
  SKEP_TRY_ASSIGN(RecoveredLog recovered, recover_log(disk, options));
  if (options.must_exist && recovered.segments.empty() && !SKEP_MUTANT(kLostLogBegunAnew)) {
    return lost(options);
  }
  std::unique_ptr<Wal> wal(new Wal(disk, std::move(options)));
  if (recovered.segments.empty()) {
    wal->is_new_ = true;
    SKEP_TRY(wal->start_segment(1));
  } else {
    SKEP_TRY(wal->repair(std::move(recovered)));
  }
  return wal;
}

Status Wal::repair(RecoveredLog recovered) {
  content_ = std::move(recovered.content);
  segments_ = std::move(recovered.segments);
  end_ = recovered.end;
  filled_ = recovered.end;
  chain_ = recovered.chain;
  const std::string path = segment_path(options_.directory, recovered.last.sequence);
  SKEP_TRY_ASSIGN(file_, disk_.open(path, OpenMode::kReadWrite));
  const std::uint64_t torn =
      recovered.garbage_end > recovered.end ? recovered.garbage_end - recovered.end : 0;
  const std::uint64_t unproven = recovered.end - recovered.synced_end;
  torn_bytes_ = torn;
  if (torn > 0) {
    SKEP_WARN("raft log: cut a write that did not finish", {"path", path},
              {"offset", recovered.end}, {"bytes", torn});
  }
  // Of a process that ended between making a segment and syncing its name, the name is not on disk yet.
  SKEP_TRY(disk_.sync_directory(options_.directory));
  // What no watermark covers may sit in the page cache only, even marked clean after a failed sync
  // of the process before: write it again, so that this sync is worth something.
  SKEP_TRY_ASSIGN(std::string tail, file_->read(recovered.synced_end, unproven));
  tail.append(torn, '\0');
  if (!tail.empty()) {
    SKEP_TRY(file_->write(recovered.synced_end, tail));
    dirty_ = true;
    SKEP_TRY(sync());
  }
  drop_old_segments();
  return ok();
}

Status Wal::check_usable() const { return poison_ ? Status(*poison_) : ok(); }

Status Wal::poison_with(Error error) {
  error.code = Code::kDataLoss;
  error.reason = "LOG_POISONED";
  error.message += "; what reached the disk is unknown, so this member stopped: check the disk, then "
                   "restart agentd";
  SKEP_ERROR("raft log: poisoned", {"error", error.message});
  poison_ = error;
  return error;
}

std::size_t Wal::capacity_bytes() const {
  const std::uint64_t state = record_bytes(24 + kSealBytesMax) +
                              record_bytes(encode_mark(content_.mark()).size() + kSealBytesMax);
  const std::uint64_t fixed = kSegmentHeaderBytes + state + kBatchExtraBytes + kSegmentEndBytes;
  return options_.segment_bytes > fixed ? options_.segment_bytes - fixed : 0;
}

Result<std::uint32_t> Wal::put(std::string& batch, std::uint32_t& chain, RecordType type,
                               std::string_view payload) {
  const SegmentInfo& segment = segments_.back();
  if (segment.key_id == 0 || type == RecordType::kWatermark || type == RecordType::kSegmentEnd) {
    append_record(batch, type, 0, payload, chain);
    return static_cast<std::uint32_t>(payload.size());
  }
  const std::string sealed = options_.sealer->seal(
      {segment.key_id, segment.sequence, end_ + batch.size()}, payload);
  if (sealed.size() > payload.size() + kSealBytesMax) {
    return Error{Code::kInternal, "a seal adds more than 64 bytes"};
  }
  append_record(batch, type, kFlagSealed, sealed, chain);
  return static_cast<std::uint32_t>(sealed.size());
}

Status Wal::put_watermark(std::string& batch, std::uint32_t& chain) {
  if (fresh_watermark_) {
    SKEP_TRY(put(batch, chain, RecordType::kWatermark, encode_watermark(*fresh_watermark_)));
  }
  return ok();
}

Status Wal::check_batch(std::span<const Entry> entries, std::size_t& bytes) const {
  bytes = 0;
  Index expected = entries.empty() ? 0 : entries.front().index;
  if (!entries.empty() && (expected <= content_.base_index() || expected > last_index() + 1)) {
    return Error{Code::kInternal, "a batch begins at entry " + std::to_string(expected) +
                                      ", the log holds " + std::to_string(first_index()) + " to " +
                                      std::to_string(last_index())};
  }
  for (const Entry& entry : entries) {
    if (entry.index != expected++) {
      return Error{Code::kInternal, "a batch of entries has a gap"};
    }
    if (entry.data.size() > kEntryBytesMax) {
      return Error{Code::kInvalidArgument, "an entry is larger than 1.5 MiB", "ENTRY_TOO_LARGE"};
    }
    bytes += record_bytes(entry.data.size() + kEntryFieldBytes + kSealBytesMax);
  }
  if (bytes > capacity_bytes()) {
    return Error{Code::kInvalidArgument, "a batch is larger than a segment of the log"};
  }
  return ok();
}

Status Wal::append(std::span<const Entry> entries, const std::optional<HardState>& state) {
  SKEP_TRY(check_usable());
  std::size_t bytes = 0;
  SKEP_TRY(check_batch(entries, bytes));
  if (end_ + bytes + kBatchExtraBytes + kSegmentEndBytes > options_.segment_bytes) {
    SKEP_TRY(roll());
  }
  std::string batch;
  batch.reserve(bytes + kBatchExtraBytes);
  std::uint32_t chain = chain_;
  std::vector<EntryPlace> places;
  places.reserve(entries.size());
  SKEP_TRY(put_watermark(batch, chain));
  const bool truncates = !entries.empty() && entries.front().index <= last_index();
  if (truncates && !SKEP_MUTANT(kTruncationNotWritten)) {
    SKEP_TRY(put(batch, chain, RecordType::kTruncate, encode_index(entries.front().index - 1)));
  }
  for (const Entry& entry : entries) {
    places.push_back({.term = entry.term,
                      .segment = static_cast<std::uint32_t>(segments_.back().sequence),
                      .offset = static_cast<std::uint32_t>(end_ + batch.size()),
                      .chain = chain});
    SKEP_TRY_ASSIGN(places.back().length,
                    put(batch, chain, RecordType::kEntry, encode_entry(entry)));
  }
  if (state) {
    SKEP_TRY(put(batch, chain, RecordType::kHardState, encode_hard_state(*state)));
  }
  SKEP_TRY(write_at_end(batch, chain));
  if (truncates) {
    SKEP_TRY(content_.truncate(entries.front().index - 1));
  }
  for (std::size_t i = 0; i < entries.size(); ++i) {
    SKEP_TRY(content_.add_entry(entries[i], places[i]));
  }
  if (state) {
    SKEP_TRY(content_.set_hard_state(*state));
  }
  cache(entries);
  return ok();
}

Status Wal::write_at_end(const std::string& batch, std::uint32_t chain) {
  const std::uint64_t batch_end = end_ + batch.size();
  std::string filled;
  const std::string* bytes = &batch;
  if (batch_end > filled_) {
    const std::uint64_t target = std::min(
        options_.segment_bytes, (batch_end / kFillAheadBytes + 1) * kFillAheadBytes);
    filled = batch;
    filled.resize(target - end_, '\0');
    bytes = &filled;
  }
  if (auto written = file_->write(end_, *bytes); !written) {
    if (written.error().code != Code::kResourceExhausted) {
      return poison_with(std::move(written).error());
    }
    // The space was reserved, yet some file systems want more to change it. Leave no half of it.
    if (auto cleared = file_->write(end_, std::string(batch.size(), '\0')); !cleared) {
      return poison_with(std::move(cleared).error());
    }
    return written;
  }
  filled_ = std::max(filled_, end_ + bytes->size());
  end_ = batch_end;
  chain_ = chain;
  dirty_ = true;
  fresh_watermark_.reset();
  return ok();
}

Status Wal::sync() {
  SKEP_TRY(check_usable());
  if (!dirty_) {
    return ok();
  }
  ++syncs_;
  auto synced = SKEP_MUTANT(kLogNotSynced) ? ok() : file_->sync();
  if (!synced && !SKEP_MUTANT(kSyncErrorForgiven)) {
    return poison_with(std::move(synced).error());
  }
  dirty_ = false;
  fresh_watermark_ = Watermark{segments_.back().sequence, end_, chain_};
  return ok();
}

Status Wal::settle() {
  SKEP_TRY(check_usable());
  if (!fresh_watermark_ || dirty_ ||
      end_ + kBatchExtraBytes + kSegmentEndBytes > options_.segment_bytes) {
    return ok();
  }
  std::string batch;
  std::uint32_t chain = chain_;
  SKEP_TRY(put_watermark(batch, chain));
  return write_at_end(batch, chain);  // The next sync takes it along.
}

}  // namespace skep::raft
