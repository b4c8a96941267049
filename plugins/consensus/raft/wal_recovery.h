#pragma once

// What a write-ahead log holds, read back from its segments: the decision what is whole, what is a
// torn end to cut, and what is damage. Reads only; Wal performs the repair.
//
// The rule: a record that was acknowledged is never cut. A record that fails its checks in the last
// segment is a torn write only if no watermark behind it says that it was synced, and its bytes look
// like a write that did not finish (space never written is zero). Anything else is kDataLoss.

#include <deque>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/consensus/raft/wal_format.h"
#include "skep/env.h"

namespace skep::raft {

/// Seals what records hold when the log is encrypted at rest. Implemented by the key keeper; the
/// log without one is written in the clear. Same thread as the log; outlives it.
class RecordSealer {
 public:
  virtual ~RecordSealer() = default;
  /// The data key new segments use, and that key wrapped for their header.
  virtual std::uint64_t key_id() = 0;
  virtual std::string wrapped_key() = 0;
  /// `position` (segment, offset) is unique under one key: the nonce, and bound to the record.
  struct Position {
    std::uint64_t key_id = 0;
    std::uint64_t sequence = 0;
    std::uint64_t offset = 0;
  };
  /// May add at most 64 bytes.
  virtual std::string seal(const Position& position, std::string_view payload) = 0;
  /// kFailedPrecondition: the key is not at hand. kDataLoss: altered.
  virtual Result<std::string> unseal(const Position& position, std::string_view sealed) = 0;
};

/// What to do about a log that is damaged; follows what it is. Never to remove it: a member that begins
/// anew under its old id could vote twice in a term.
inline constexpr std::string_view kDamagedWayOut =
    "; if other managers live, run 'agentctl node demote NODE' and then 'agentctl node promote NODE' for "
    "this node on one of them; if it is the only one, restore this manager from a backup ('agentctl backup "
    "restore --replace FILE')";

struct WalOptions {
  std::string directory;
  std::string cluster;  ///< at most 128 bytes; a log of another cluster is refused
  MemberId member = kNobody;
  std::uint64_t segment_bytes = 16ULL << 20;
  std::size_t cache_bytes = 4ULL << 20;  ///< newest entries kept in memory
  RecordSealer* sealer = nullptr;        ///< nullptr: in the clear
  bool must_exist = false;               ///< an empty log was lost: kDataLoss LOG_LOST
};

/// Where one entry lies.
struct EntryPlace {
  Term term = 0;
  std::uint32_t segment = 0;  ///< sequence number; 2^32 segments are never reached
  std::uint32_t offset = 0;
  std::uint32_t length = 0;  ///< payload as stored
  std::uint32_t chain = 0;   ///< of the record before
};

struct SegmentInfo {
  std::uint64_t sequence = 0;
  Index first_index = 0;
  std::uint64_t key_id = 0;
};

/// The log's content as its records say, in the order they were written.
class LogContent {
 public:
  /// Starts below the oldest segment, whose header names what came before it.
  void begin(Index base_index, Term base_term);
  Status add_entry(const Entry& entry, const EntryPlace& place);
  Status truncate(Index last_kept);
  /// Voids everything up to the mark, and what follows when it is not of the same history.
  Status set_mark(const SnapshotMark& mark);
  Status set_hard_state(const HardState& state);
  /// kDataLoss: records are whole but something between them is missing.
  [[nodiscard]] Status check_complete() const;

  [[nodiscard]] Index base_index() const { return base_index_; }
  [[nodiscard]] Term base_term() const { return base_term_; }
  [[nodiscard]] Index last_index() const { return base_index_ + places_.size(); }
  [[nodiscard]] Term last_term() const { return places_.empty() ? base_term_ : places_.back().term; }
  /// base_index() < index <= last_index().
  [[nodiscard]] const EntryPlace& place(Index index) const {
    return places_[index - base_index_ - 1];
  }
  /// Where changes of the members lie.
  [[nodiscard]] const std::set<Index>& config_indexes() const { return config_indexes_; }
  [[nodiscard]] const HardState& hard_state() const { return hard_state_; }
  [[nodiscard]] const SnapshotMark& mark() const { return mark_; }

 private:
  Index base_index_ = 0;
  Term base_term_ = 0;
  std::deque<EntryPlace> places_;
  std::set<Index> config_indexes_;
  HardState hard_state_;
  SnapshotMark mark_;
};

struct RecoveredLog {
  LogContent content;
  std::deque<SegmentInfo> segments;  ///< empty: there is no log yet
  SegmentHeader last;                ///< header of the newest segment
  std::uint64_t end = 0;             ///< of its whole records
  std::uint32_t chain = 0;
  std::uint64_t synced_end = 0;   ///< known to be on stable storage up to here
  std::uint64_t garbage_end = 0;  ///< torn bytes lie in [end, garbage_end); none when <= end
};

std::string segment_path(const std::string& directory, std::uint64_t sequence);
/// kDataLoss: acknowledged records are damaged or missing; the message says where and what to do.
/// kFailedPrecondition: of another cluster, member or format.
Result<RecoveredLog> recover_log(Disk& disk, const WalOptions& options);

/// Reads the record at `place` again and checks it against the chain.
Result<Entry> read_entry(File& file, const EntryPlace& place, std::uint64_t key_id,
                         RecordSealer* sealer);

}  // namespace skep::raft
