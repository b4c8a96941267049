// Segments of the write-ahead log: making, changing over, dropping. See wal.h.

#include <algorithm>

#include "plugins/consensus/raft/wal.h"
#include "skep/log.h"

namespace skep::raft {
namespace {

constexpr std::size_t kReserveOverheadBytes = 512;

}  // namespace

Status Wal::reserve(std::size_t bytes) {
  SKEP_TRY(check_usable());
  // Twice: Entry::bytes() knows nothing of padding and seals.
  const std::uint64_t wanted = bytes + bytes / 2 + kReserveOverheadBytes;
  if (end_ + wanted <= options_.segment_bytes) {
    return ok();
  }
  return roll();
}

Result<std::unique_ptr<File>> Wal::make_segment_file(const std::string& path,
                                                     const std::string& content) {
  const std::string temporary = path + ".tmp";
  SKEP_TRY_ASSIGN(auto file, disk_.open(temporary, OpenMode::kCreate));
  SKEP_TRY(file->truncate(0));  // Left over by a crash, perhaps.
  SKEP_TRY(file->allocate(options_.segment_bytes));
  SKEP_TRY(file->write(0, content));
  SKEP_TRY(file->sync());
  SKEP_TRY(disk_.rename(temporary, path));
  return file;
}

Status Wal::start_segment(std::uint64_t sequence) {
  SegmentHeader header;
  header.sequence = sequence;
  header.first_index = last_index() + 1;
  header.last_term = content_.last_term();
  header.previous_end = end_;
  header.segment_bytes = options_.segment_bytes;
  header.member = options_.member;
  header.chain = chain_;
  header.cluster = options_.cluster;
  if (options_.sealer != nullptr) {
    header.key_id = options_.sealer->key_id();
    header.wrapped_key = options_.sealer->wrapped_key();
    if (header.wrapped_key.size() > 240) {
      return Error{Code::kInvalidArgument, "a wrapped data key is longer than 240 bytes"};
    }
  }
  // A segment begins with all state, so that older ones can be dropped.
  std::string content = encode_segment_header(header);
  std::uint32_t chain = chain_;
  const std::uint64_t previous_end = std::exchange(end_, 0);
  segments_.push_back({sequence, header.first_index, header.key_id});
  Status filled = ok();
  for (const auto& [type, payload] :
       {std::pair(RecordType::kHardState, encode_hard_state(content_.hard_state())),
        std::pair(RecordType::kMark, encode_mark(content_.mark()))}) {
    if (auto added = put(content, chain, type, payload); !added && filled) {
      filled = std::move(added).error();
    }
  }
  const std::string path = segment_path(options_.directory, sequence);
  auto file = filled ? make_segment_file(path, content)
                     : Result<std::unique_ptr<File>>(std::move(filled).error());
  if (!file) {
    segments_.pop_back();
    end_ = previous_end;
    Error error = std::move(file).error();
    if (auto removed = disk_.remove(path + ".tmp"); !removed) {
      SKEP_DEBUG("raft log: unfinished segment stays", {"path", path});
    }
    return error.code == Code::kResourceExhausted ? Status(std::move(error))
                                                  : poison_with(std::move(error));
  }
  if (auto synced = disk_.sync_directory(options_.directory); !synced) {
    return poison_with(std::move(synced).error());
  }
  file_ = *std::move(file);
  end_ = content.size();
  filled_ = content.size();
  chain_ = chain;
  dirty_ = false;
  fresh_watermark_ = Watermark{sequence, end_, chain_};
  return ok();
}

Status Wal::roll() {
  SKEP_TRY(sync());
  std::unique_ptr<File> old = std::move(file_);
  const std::uint64_t old_end = end_;
  const std::uint32_t old_chain = chain_;
  if (auto started = start_segment(segments_.back().sequence + 1); !started) {
    file_ = std::move(old);
    return started;
  }
  // Names the next segment, so that its loss is noticed. Not part of the chain that goes on.
  std::string record;
  std::uint32_t chain = old_chain;
  append_record(record, RecordType::kSegmentEnd, 0, encode_index(segments_.back().sequence), chain);
  Status closed = old->write(old_end, record);
  if (closed) {
    closed = old->sync();
  }
  return closed ? ok() : poison_with(std::move(closed).error());
}

Status Wal::set_mark(const SnapshotMark& mark) {
  SKEP_TRY(check_usable());
  if (mark.index < content_.mark().index) {
    return ok();  // Asked again, later.
  }
  const std::string payload = encode_mark(mark);
  const std::uint64_t needed = record_bytes(payload.size() + 64) + kReserveOverheadBytes;
  if (kSegmentHeaderBytes + 3 * needed > options_.segment_bytes) {
    return Error{Code::kInvalidArgument, "the member list does not fit into a segment of the log"};
  }
  if (end_ + needed > options_.segment_bytes) {
    SKEP_TRY(roll());
  }
  std::string batch;
  std::uint32_t chain = chain_;
  SKEP_TRY(put_watermark(batch, chain));
  SKEP_TRY(put(batch, chain, RecordType::kMark, payload));
  SKEP_TRY(write_at_end(batch, chain));
  SKEP_TRY(sync());
  SKEP_TRY(content_.set_mark(mark));
  while (!cache_.empty() && (last_index() == content_.base_index() ||
                             cache_.front().index < first_index())) {
    cached_bytes_ -= cache_.front().bytes();
    cache_.pop_front();
  }
  drop_old_segments();
  return ok();
}

void Wal::drop_old_segments() {
  while (segments_.size() > 1 && segments_[1].first_index <= first_index() &&
         content_.mark().index + 1 >= segments_[1].first_index) {
    const std::string path = segment_path(options_.directory, segments_.front().sequence);
    if (auto removed = disk_.remove(path); !removed && removed.error().code != Code::kNotFound) {
      SKEP_WARN("raft log: a segment that is not needed stays", {"path", path},
                {"error", removed.error().message});
      return;  // In order, or the log would have a hole; asked again at the next mark.
    }
    segments_.pop_front();
  }
}

}  // namespace skep::raft
