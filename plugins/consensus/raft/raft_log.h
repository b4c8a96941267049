#pragma once

// The log as the Raft core sees it: entries on disk (LogStorage) followed by entries that wait to be
// written. Invariant: applied <= committed <= last_index.

#include <deque>

#include "plugins/consensus/raft/log_storage.h"

namespace skep::raft {

class RaftLog {
 public:
  explicit RaftLog(LogStorage& storage);

  [[nodiscard]] Index first_index() const;
  /// What a follower gets whose next entry is gone.
  [[nodiscard]] const SnapshotMark& mark() const { return snapshot_ ? *snapshot_ : storage_.mark(); }
  [[nodiscard]] Index last_index() const;
  [[nodiscard]] Term last_term() const;
  /// nullopt outside of first_index() - 1 .. last_index().
  [[nodiscard]] std::optional<Term> term(Index index) const;
  [[nodiscard]] bool matches(Index index, Term term_at) const { return term(index) == term_at; }
  [[nodiscard]] bool is_up_to_date(Index last, Term last_term_of) const;
  /// From `from` on, at most `bytes_max` (but one). Throws BrokenInvariant when the disk fails: a
  /// member that cannot read its log must stop.
  [[nodiscard]] std::vector<Entry> entries(Index from, Index to, std::size_t bytes_max) const;

  /// A leader's own entries; they follow last_index().
  void append(std::vector<Entry> entries);
  /// A follower's: nullopt when (index, term) is not in the log, else the last new index.
  std::optional<Index> maybe_append(Index index, Term term_at, Index commit,
                                    std::vector<Entry> entries);
  /// The largest index <= `index` whose term is <= `term_at`, and its term: where logs may agree.
  [[nodiscard]] std::pair<Index, Term> find_conflict_by_term(Index index, Term term_at) const;

  void commit_to(Index index);
  void set_applied(Index index);
  void restore(const SnapshotMark& mark);

  [[nodiscard]] Index committed() const { return committed_; }
  [[nodiscard]] Index applied() const { return applied_; }
  [[nodiscard]] bool has_unstable() const { return !unstable_.empty(); }
  [[nodiscard]] const std::optional<SnapshotMark>& pending_snapshot() const { return snapshot_; }
  [[nodiscard]] std::vector<Entry> next_unstable(std::size_t bytes_max) const;
  /// (index, term) is on stable storage. Ignored when the entry was replaced meanwhile.
  void stable_to(Index index, Term term_at);
  void stable_snapshot(Index index);
  /// Committed and stable, not yet applied.
  [[nodiscard]] bool has_next_committed() const;
  [[nodiscard]] std::vector<Entry> next_committed(std::size_t bytes_max) const;

 private:
  void truncate_and_append(std::vector<Entry> entries);

  LogStorage& storage_;
  std::deque<Entry> unstable_;
  Index offset_ = 1;  ///< index of unstable_.front(), or of the next entry
  std::optional<SnapshotMark> snapshot_;
  Index committed_ = 0;
  Index applied_ = 0;
};

}  // namespace skep::raft
