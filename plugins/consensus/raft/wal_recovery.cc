#include "plugins/consensus/raft/wal_recovery.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <optional>

#include "skep/mutant.h"

namespace skep::raft {
namespace {

constexpr std::size_t kWindowBytes = 256 * 1024;
constexpr std::size_t kZeroStepBytes = 4096;  // empty space is skipped in such steps
constexpr std::string_view kSegmentSuffix = ".wal";

Error damaged(const std::string& path, std::uint64_t offset, const std::string& what) {
  return Error{Code::kDataLoss,
               path + ": offset " + std::to_string(offset) + ": " + what + std::string(kDamagedWayOut),
               "LOG_DAMAGED"};
}

bool all_zero(std::string_view bytes) {
  return bytes.empty() ||
         (bytes.front() == '\0' && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

/// A segment file seen through a moving window, so that recovery needs little memory.
class SegmentReader {
 public:
  SegmentReader(std::unique_ptr<File> file, std::uint64_t size)
      : file_(std::move(file)), size_(size) {}

  /// The view holds until the next call; short only at the end of the file.
  Result<std::string_view> at(std::uint64_t offset, std::size_t length) {
    if (offset < start_ || offset + length > start_ + window_.size()) {
      SKEP_TRY_ASSIGN(window_, file_->read(offset, std::max(length, kWindowBytes)));
      start_ = offset;
    }
    const std::size_t skip = offset - start_;
    return std::string_view(window_).substr(std::min(skip, window_.size()), length);
  }
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  std::unique_ptr<File> file_;
  std::uint64_t size_;
  std::uint64_t start_ = 0;
  std::string window_;
};

/// What follows the last whole record.
struct TailFacts {
  std::uint64_t garbage_end = 0;  ///< behind the last byte that is not zero
  bool synced_beyond = false;     ///< a watermark proves that more was synced
};

Result<TailFacts> examine_tail(SegmentReader& reader, std::uint64_t sequence, std::uint64_t end) {
  TailFacts facts;
  std::uint64_t offset = end;
  while (offset < reader.size()) {
    SKEP_TRY_ASSIGN(const std::string_view page, reader.at(offset, kZeroStepBytes));
    if (all_zero(page)) {
      offset += page.size();
      continue;
    }
    const std::string_view block = page.substr(0, kRecordAlign);
    if (all_zero(block)) {
      offset += kRecordAlign;
      continue;
    }
    const auto nonzero = block.find_last_not_of('\0');
    facts.garbage_end = offset + nonzero + 1;
    SKEP_TRY_ASSIGN(const std::string_view payload, reader.at(offset, kWatermarkBytes));
    const auto watermark = decode_watermark(payload);
    if (watermark && watermark->sequence == sequence && watermark->synced_end > end) {
      facts.synced_beyond = true;
    }
    offset += kRecordAlign;
  }
  return facts;
}

/// Whether a record whose header is whole looks like a write that did not finish: its end byte or
/// one of the sectors it spans was never written.
bool looks_torn(std::string_view record, std::uint64_t offset, std::size_t covered) {
  if (record.size() < covered || record[covered - 1] == '\0') {
    return true;
  }
  std::size_t at = kRecordHeaderBytes;
  while (at < covered) {
    const std::size_t to_sector = kSectorBytes - (offset + at) % kSectorBytes;
    const std::size_t length = std::min(to_sector, covered - at);
    const bool whole_sector_part = (offset + at) % kSectorBytes == 0;
    if (whole_sector_part && all_zero(record.substr(at, length))) {
      return true;
    }
    at += length;
  }
  return false;
}

class Recovery {
 public:
  Recovery(Disk& disk, const WalOptions& options) : disk_(disk), options_(options) {}

  Result<RecoveredLog> run() {
    SKEP_TRY_ASSIGN(const std::vector<std::uint64_t> sequences, list_segments());
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      SKEP_TRY(read_segment(sequences[i], i + 1 < sequences.size()
                                              ? std::optional(sequences[i + 1])
                                              : std::nullopt));
    }
    if (!sequences.empty()) {
      if (auto complete = log_.content.check_complete(); !complete) {
        return damaged(path_, log_.end, complete.error().message);
      }
    }
    return std::move(log_);
  }

 private:
  Result<std::vector<std::uint64_t>> list_segments() {
    SKEP_TRY_ASSIGN(const auto names, disk_.list_directory(options_.directory));
    std::vector<std::uint64_t> sequences;
    for (const std::string& name : names) {
      if (name.size() == 20 && name.ends_with(kSegmentSuffix)) {
        sequences.push_back(std::strtoull(name.substr(0, 16).c_str(), nullptr, 16));
      }
    }
    std::sort(sequences.begin(), sequences.end());
    for (std::size_t i = 1; i < sequences.size(); ++i) {
      if (sequences[i] != sequences[i - 1] + 1) {
        return damaged(segment_path(options_.directory, sequences[i - 1] + 1), 0,
                       "this segment of the log is missing");
      }
    }
    return sequences;
  }

  Result<SegmentReader> open_segment(std::uint64_t sequence, SegmentHeader& header) {
    path_ = segment_path(options_.directory, sequence);
    SKEP_TRY_ASSIGN(auto file, disk_.open(path_, OpenMode::kRead));
    SKEP_TRY_ASSIGN(const std::uint64_t size, file->size());
    SegmentReader reader(std::move(file), size);
    SKEP_TRY_ASSIGN(const std::string_view bytes, reader.at(0, kSegmentHeaderBytes));
    auto decoded = decode_segment_header(bytes);
    if (!decoded) {
      if (decoded.error().code == Code::kDataLoss) {
        return damaged(path_, 0, decoded.error().message);
      }
      return std::move(decoded).error().with_context(path_);
    }
    header = *std::move(decoded);
    if (header.cluster != options_.cluster || header.member != options_.member) {
      return Error{Code::kFailedPrecondition,
                   path_ + ": the log belongs to member " + std::to_string(header.member) +
                       " of cluster '" + header.cluster + "', this is member " +
                       std::to_string(options_.member) + " of '" + options_.cluster +
                       "'; move the raft directory away",
                   "WRONG_CLUSTER"};
    }
    if (header.sequence != sequence || header.segment_bytes != size) {
      return damaged(path_, size, "the segment was renamed, shortened or extended");
    }
    if (header.key_id != 0 && options_.sealer == nullptr) {
      return Error{Code::kFailedPrecondition, path_ + ": the log is encrypted and no key is at hand",
                   "LOG_LOCKED"};
    }
    return reader;
  }

  /// `next`: the sequence of the segment behind it, whose header tells where this one ends.
  Status read_segment(std::uint64_t sequence, std::optional<std::uint64_t> next) {
    std::optional<SegmentHeader> next_header;
    if (next) {
      SegmentHeader header;
      SKEP_TRY(open_segment(*next, header));
      next_header = std::move(header);
    }
    SegmentHeader header;
    SKEP_TRY_ASSIGN(SegmentReader reader, open_segment(sequence, header));
    if (log_.segments.empty()) {
      log_.content.begin(header.first_index - 1, header.last_term);
    } else if (header.first_index != log_.content.last_index() + 1) {
      return damaged(path_, 0, "the segment starts at entry " + std::to_string(header.first_index) +
                                   ", expected " + std::to_string(log_.content.last_index() + 1));
    }
    log_.segments.push_back({sequence, header.first_index, header.key_id});
    log_.last = header;
    log_.end = kSegmentHeaderBytes;
    log_.synced_end = kSegmentHeaderBytes;
    log_.chain = header.chain;
    const std::uint64_t limit = next_header ? next_header->previous_end : reader.size();
    SKEP_TRY_ASSIGN(const bool more, read_records(reader, limit));
    if (next_header) {
      if (log_.end != limit || log_.chain != next_header->chain) {
        return damaged(path_, log_.end, "a record is damaged");
      }
      return ok();
    }
    return judge_tail(reader, more);
  }

  /// Reads up to the first thing that is no whole record; true when something is there.
  Result<bool> read_records(SegmentReader& reader, std::uint64_t limit) {
    while (log_.end + kRecordHeaderBytes <= limit) {
      SKEP_TRY_ASSIGN(const std::string_view head, reader.at(log_.end, kRecordHeaderBytes));
      if (all_zero(head)) {
        return false;
      }
      const auto header = decode_record_header(head, log_.chain);
      if (!header || log_.end + record_bytes(header->length) > limit) {
        return true;
      }
      SKEP_TRY_ASSIGN(const std::string_view record,
                      reader.at(log_.end, record_bytes(header->length)));
      if (!record_is_intact(*header, record, log_.chain) && !SKEP_MUTANT(kChecksumIgnored)) {
        return true;
      }
      SKEP_TRY(apply(*header, record.substr(kRecordHeaderBytes, header->length)));
      log_.end += record_bytes(header->length);
      log_.chain = header->crc;
    }
    return false;
  }

  Status apply(const RecordHeader& header, std::string_view stored) {
    std::string unsealed;
    if ((header.flags & kFlagSealed) != 0) {
      if (options_.sealer == nullptr || log_.last.key_id == 0) {
        return damaged(path_, log_.end, "a sealed record in a segment without a key");
      }
      SKEP_TRY_ASSIGN(unsealed, options_.sealer->unseal(
                                    {log_.last.key_id, log_.last.sequence, log_.end}, stored));
      stored = unsealed;
    }
    auto status = apply_plain(header, stored);
    if (!status && status.error().code == Code::kDataLoss) {
      return damaged(path_, log_.end, status.error().message);
    }
    return status;
  }

  Status apply_plain(const RecordHeader& header, std::string_view payload) {
    switch (static_cast<RecordType>(header.type)) {
      case RecordType::kEntry: {
        SKEP_TRY_ASSIGN(const Entry entry, decode_entry(payload));
        return log_.content.add_entry(
            entry, {.term = entry.term,
                    .segment = static_cast<std::uint32_t>(log_.last.sequence),
                    .offset = static_cast<std::uint32_t>(log_.end),
                    .length = header.length,
                    .chain = log_.chain});
      }
      case RecordType::kHardState: {
        SKEP_TRY_ASSIGN(const HardState state, decode_hard_state(payload));
        return log_.content.set_hard_state(state);
      }
      case RecordType::kTruncate: {
        SKEP_TRY_ASSIGN(const Index last_kept, decode_index(payload));
        return log_.content.truncate(last_kept);
      }
      case RecordType::kWatermark: {
        SKEP_TRY_ASSIGN(const Watermark watermark, decode_watermark(payload));
        if (watermark.sequence == log_.last.sequence) {
          log_.synced_end = std::max(log_.synced_end, watermark.synced_end);
        }
        return ok();
      }
      case RecordType::kMark: {
        SKEP_TRY_ASSIGN(const SnapshotMark mark, decode_mark(payload));
        return log_.content.set_mark(mark);
      }
      case RecordType::kSegmentEnd:
        return damaged(segment_path(options_.directory, log_.last.sequence + 1), 0,
                       "this segment of the log is missing");
    }
    return Error{Code::kFailedPrecondition,
                 path_ + ": a record of unknown type " + std::to_string(header.type) +
                     "; use the newer build that wrote it",
                 "LOG_FORMAT"};
  }

  /// The last segment: what follows its whole records was never acknowledged, or it is damage.
  Status judge_tail(SegmentReader& reader, bool more) {
    SKEP_TRY_ASSIGN(const TailFacts facts, examine_tail(reader, log_.last.sequence, log_.end));
    log_.garbage_end = facts.garbage_end;
    if (facts.synced_beyond) {
      return damaged(path_, log_.end, "a record is damaged although it was synced");
    }
    if (!more) {
      return ok();
    }
    SKEP_TRY_ASSIGN(const std::string_view head, reader.at(log_.end, kRecordHeaderBytes));
    const auto header = decode_record_header(head, log_.chain);
    if (!header) {
      const bool torn = head.size() < kRecordHeaderBytes || head.back() == '\0';
      return torn ? ok() : Status(damaged(path_, log_.end, "the header of a record is damaged"));
    }
    const std::size_t covered = kRecordHeaderBytes + header->length + 1;
    SKEP_TRY_ASSIGN(const std::string_view record, reader.at(log_.end, covered));
    if (!looks_torn(record, log_.end, covered)) {
      return damaged(path_, log_.end, "a record is damaged");
    }
    return ok();
  }

  Disk& disk_;
  const WalOptions& options_;
  RecoveredLog log_;
  std::string path_;
};

}  // namespace

std::string segment_path(const std::string& directory, std::uint64_t sequence) {
  std::array<char, 17> name{};
  std::snprintf(name.data(), name.size(), "%016" PRIx64, sequence);
  return directory + "/" + name.data() + std::string(kSegmentSuffix);
}

Result<RecoveredLog> recover_log(Disk& disk, const WalOptions& options) {
  return Recovery(disk, options).run();
}

Result<Entry> read_entry(File& file, const EntryPlace& place, std::uint64_t key_id,
                         RecordSealer* sealer) {
  const auto bad = [&] {
    return Error{Code::kDataLoss,
                 "record at offset " + std::to_string(place.offset) + " of segment " +
                     std::to_string(place.segment) + " does not match its checksum any more",
                 "LOG_DAMAGED"};
  };
  SKEP_TRY_ASSIGN(const std::string record, file.read(place.offset, record_bytes(place.length)));
  const auto header = decode_record_header(record, place.chain);
  if (!header || header->length != place.length ||
      !record_is_intact(*header, record, place.chain)) {
    return bad();
  }
  const std::string_view payload = std::string_view(record).substr(kRecordHeaderBytes, place.length);
  if ((header->flags & kFlagSealed) == 0) {
    return decode_entry(payload);
  }
  if (sealer == nullptr) {
    return bad();
  }
  SKEP_TRY_ASSIGN(const std::string plain,
                  sealer->unseal({key_id, place.segment, place.offset}, payload));
  return decode_entry(plain);
}

}  // namespace skep::raft
