#pragma once

// The write-ahead log of one member: append, one sync per batch, read, compact. Node-local, one
// thread, over skep::Disk only. Bytes on disk: wal_format.h; what survives a crash: wal_recovery.h.
//
// Promises: what append() took and a later sync() acknowledged is there after any crash, or open()
// says kDataLoss. After a failed sync or write (a full disk excepted) the log is poisoned: every
// call answers the same error until the process ends, because nobody knows what reached the disk.
// A full disk is kResourceExhausted, changes nothing, and the same call works once there is room.

#include <memory>
#include <optional>
#include <span>

#include "plugins/consensus/raft/log_storage.h"
#include "plugins/consensus/raft/wal_recovery.h"

namespace skep::raft {

class Wal final : public LogStorage {
 public:
  /// Opens the log in options.directory, repairing a torn end; makes an empty one when there is
  /// none, or answers kDataLoss LOG_LOST (options.must_exist). kDataLoss, kFailedPrecondition: see
  /// recover_log(). kInvalidArgument: bad options.
  static Result<std::unique_ptr<Wal>> open(Disk& disk, WalOptions options);
  ~Wal() override;

  /// Writes entries (without a gap; those they replace are void) and the hard state, not yet
  /// synced. kInvalidArgument: more than capacity_bytes() at once.
  Status append(std::span<const Entry> entries, const std::optional<HardState>& state);
  /// Everything appended so far is on stable storage.
  Status sync();
  /// Off the commit path, after an acknowledgement: notes in the log that it is synced. Not synced
  /// itself; without it only damage of the very last batch is harder to tell from a torn write.
  Status settle();
  /// Makes sure that entries of `bytes` in total (Entry::bytes) find room without the disk giving
  /// more. kResourceExhausted: it is full, and nothing changed.
  Status reserve(std::size_t bytes);
  /// Durably voids everything up to the mark and drops segments that hold nothing else. When the
  /// log does not contain the mark's entry, all entries go: a snapshot was installed.
  Status set_mark(const SnapshotMark& mark);

  [[nodiscard]] const HardState& hard_state() const { return content_.hard_state(); }
  [[nodiscard]] const std::set<Index>& config_indexes() const { return content_.config_indexes(); }
  [[nodiscard]] const SnapshotMark& mark() const override { return content_.mark(); }
  [[nodiscard]] Index first_index() const override { return content_.base_index() + 1; }
  [[nodiscard]] Index last_index() const override { return content_.last_index(); }
  [[nodiscard]] std::optional<Term> term(Index index) const override;
  Result<std::vector<Entry>> entries(Index from, Index to, std::size_t bytes_max) override;

  /// The log was made by this open(): it held nothing before.
  [[nodiscard]] bool is_new() const { return is_new_; }
  [[nodiscard]] std::uint64_t torn_bytes() const { return torn_bytes_; }
  [[nodiscard]] std::uint64_t syncs() const { return syncs_; }
  [[nodiscard]] std::size_t segment_count() const { return segments_.size(); }
  /// Why the log is poisoned, if it is.
  [[nodiscard]] const std::optional<Error>& poison() const { return poison_; }
  /// Most bytes of one append().
  [[nodiscard]] std::size_t capacity_bytes() const;

 private:
  Wal(Disk& disk, WalOptions options);
  Status repair(RecoveredLog recovered);
  Status check_batch(std::span<const Entry> entries, std::size_t& bytes) const;
  Status start_segment(std::uint64_t sequence);
  Result<std::unique_ptr<File>> make_segment_file(const std::string& path,
                                                  const std::string& content);
  Status roll();
  Status write_at_end(const std::string& batch, std::uint32_t chain);
  /// Adds a record, sealed when the segment is; the length of its stored payload.
  Result<std::uint32_t> put(std::string& batch, std::uint32_t& chain, RecordType type,
                            std::string_view payload);
  Status put_watermark(std::string& batch, std::uint32_t& chain);
  Status poison_with(Error error);
  Status check_usable() const;
  void drop_old_segments();
  void cache(std::span<const Entry> entries);
  Result<Entry> read_from_disk(Index index);

  Disk& disk_;
  WalOptions options_;
  LogContent content_;
  std::deque<SegmentInfo> segments_;
  std::unique_ptr<File> file_;  ///< the newest segment
  std::uint64_t end_ = 0;       ///< of the records in it
  std::uint64_t filled_ = 0;    ///< up to here its blocks were written once
  std::uint32_t chain_ = 0;
  bool dirty_ = false;                        ///< appended since the last sync
  std::optional<Watermark> fresh_watermark_;  ///< synced, not yet noted in the log
  std::deque<Entry> cache_;                   ///< ends at last_index()
  std::size_t cached_bytes_ = 0;
  std::optional<Error> poison_;
  std::uint64_t torn_bytes_ = 0;
  std::uint64_t syncs_ = 0;
  bool is_new_ = false;
  std::unique_ptr<File> read_file_;  ///< last segment read from
  std::uint64_t read_sequence_ = 0;
};

}  // namespace skep::raft
