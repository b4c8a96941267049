#include "plugins/consensus/raft/raft_log.h"

#include <algorithm>

#include "skep/mutant.h"

namespace skep::raft {

RaftLog::RaftLog(LogStorage& storage)
    : storage_(storage),
      offset_(storage.last_index() + 1),
      committed_(storage.first_index() - 1),
      applied_(storage.first_index() - 1) {}

Index RaftLog::first_index() const {
  return snapshot_ ? snapshot_->index + 1 : storage_.first_index();
}

Index RaftLog::last_index() const { return offset_ + unstable_.size() - 1; }

Term RaftLog::last_term() const {
  const auto found = term(last_index());
  ensure(found.has_value(), "the last entry of the log has a term");
  return *found;
}

std::optional<Term> RaftLog::term(Index index) const {
  if (index + 1 < first_index() || index > last_index()) {
    return std::nullopt;
  }
  if (index >= offset_) {
    return unstable_[index - offset_].term;
  }
  if (snapshot_) {
    return index == snapshot_->index ? std::optional(snapshot_->term) : std::nullopt;
  }
  return storage_.term(index);
}

bool RaftLog::is_up_to_date(Index last, Term last_term_of) const {
  const Term ours = last_term();
  return last_term_of > ours || (last_term_of == ours && last >= last_index());
}

std::vector<Entry> RaftLog::entries(Index from, Index to, std::size_t bytes_max) const {
  ensure(from >= first_index() && to <= last_index(), "only entries of the log are read");
  std::vector<Entry> found;
  if (from > to) {
    return found;
  }
  std::size_t bytes = 0;
  if (from < offset_) {
    auto stored = storage_.entries(from, std::min(to, offset_ - 1), bytes_max);
    if (!stored) {
      throw BrokenInvariant(stored.error().message.c_str());
    }
    found = *std::move(stored);
    if (from + found.size() < std::min(to + 1, offset_)) {
      return found;  // bytes_max was reached on disk.
    }
    for (const Entry& entry : found) {
      bytes += entry.bytes();
    }
  }
  for (Index index = std::max(from, offset_); index <= to; ++index) {
    const Entry& entry = unstable_[index - offset_];
    bytes += entry.bytes();
    if (!found.empty() && bytes > bytes_max) {
      break;
    }
    found.push_back(entry);
  }
  return found;
}

void RaftLog::append(std::vector<Entry> entries) {
  if (!entries.empty()) {
    ensure(entries.front().index > committed_, "a committed entry is never replaced");
    truncate_and_append(std::move(entries));
  }
}

std::optional<Index> RaftLog::maybe_append(Index index, Term term_at, Index commit,
                                           std::vector<Entry> entries) {
  if (!matches(index, term_at)) {
    return std::nullopt;
  }
  const Index last_new = index + entries.size();
  const auto conflict = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) {
    return SKEP_MUTANT(kKeepsConflictingEntries) ? entry.index > last_index()
                                                 : !matches(entry.index, entry.term);
  });
  if (conflict != entries.end()) {
    ensure(conflict->index > committed_, "a committed entry never conflicts");
    entries.erase(entries.begin(), conflict);
    truncate_and_append(std::move(entries));
  }
  commit_to(SKEP_MUTANT(kCommitsBeyondAppend) ? commit : std::min(commit, last_new));
  return last_new;
}

std::pair<Index, Term> RaftLog::find_conflict_by_term(Index index, Term term_at) const {
  for (; index > 0; --index) {
    const auto ours = term(index);
    if (!ours) {
      return {index, 0};
    }
    if (*ours <= term_at) {
      return {index, *ours};
    }
  }
  return {0, 0};
}

void RaftLog::commit_to(Index index) {
  if (index > committed_) {
    ensure(index <= last_index(), "only what is in the log is committed: was the log lost?");
    committed_ = index;
  }
}

void RaftLog::set_applied(Index index) {
  ensure(index >= applied_ && index <= committed_, "applying goes forward and ends at the commit");
  applied_ = index;
}

void RaftLog::restore(const SnapshotMark& mark) {
  snapshot_ = mark;
  unstable_.clear();
  offset_ = mark.index + 1;
  committed_ = mark.index;
}

std::vector<Entry> RaftLog::next_unstable(std::size_t bytes_max) const {
  std::vector<Entry> found;
  std::size_t bytes = 0;
  for (const Entry& entry : unstable_) {
    bytes += entry.bytes();
    if (!found.empty() && bytes > bytes_max) {
      break;
    }
    found.push_back(entry);
  }
  return found;
}

void RaftLog::stable_to(Index index, Term term_at) {
  if (index < offset_ || index > last_index() || term(index) != term_at) {
    return;
  }
  const auto count = static_cast<std::ptrdiff_t>(index - offset_ + 1);
  unstable_.erase(unstable_.begin(), unstable_.begin() + count);
  offset_ = index + 1;
}

void RaftLog::stable_snapshot(Index index) {
  if (snapshot_ && snapshot_->index == index) {
    snapshot_.reset();
  }
}

bool RaftLog::has_next_committed() const {
  return std::min(committed_, offset_ - 1) > applied_;
}

std::vector<Entry> RaftLog::next_committed(std::size_t bytes_max) const {
  if (!has_next_committed()) {
    return {};
  }
  return entries(applied_ + 1, std::min(committed_, offset_ - 1), bytes_max);
}

void RaftLog::truncate_and_append(std::vector<Entry> entries) {
  const Index first = entries.front().index;
  ensure(first <= last_index() + 1 && first >= first_index(), "the log has no gap");
  if (first <= offset_) {
    unstable_.clear();
    offset_ = first;  // Entries on disk from here on are void; the write-ahead log notes it.
  } else {
    unstable_.resize(first - offset_);
  }
  for (Entry& entry : entries) {
    unstable_.push_back(std::move(entry));
  }
}

}  // namespace skep::raft
