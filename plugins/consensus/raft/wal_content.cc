#include "plugins/consensus/raft/wal_recovery.h"

#include "skep/mutant.h"

namespace skep::raft {
namespace {

Error gap(const std::string& what) {
  return Error{Code::kDataLoss, what, "LOG_DAMAGED"};
}

}  // namespace

void LogContent::begin(Index base_index, Term base_term) {
  base_index_ = base_index;
  base_term_ = base_term;
}

Status LogContent::add_entry(const Entry& entry, const EntryPlace& place) {
  if (entry.index != last_index() + 1 || entry.term < last_term()) {
    return gap("entry " + std::to_string(entry.index) + " of term " + std::to_string(entry.term) +
               " follows entry " + std::to_string(last_index()) + " of term " +
               std::to_string(last_term()));
  }
  places_.push_back(place);
  if (entry.kind == EntryKind::kConfig) {
    config_indexes_.insert(entry.index);
  }
  return ok();
}

Status LogContent::truncate(Index last_kept) {
  if (last_kept < mark_.index || last_kept > last_index()) {
    return gap("truncation to " + std::to_string(last_kept) + " is outside of the log");
  }
  if (last_kept < base_index_) {
    // What it cut lay in segments that a later mark allowed to drop; their terms are not known.
    base_index_ = last_kept;
    base_term_ = last_kept == mark_.index ? mark_.term : 0;
    places_.clear();
    config_indexes_.clear();
    return ok();
  }
  places_.resize(last_kept - base_index_);
  if (!SKEP_MUTANT(kTruncationKeepsMembers)) {
    config_indexes_.erase(config_indexes_.upper_bound(last_kept), config_indexes_.end());
  }
  return ok();
}

Status LogContent::set_mark(const SnapshotMark& mark) {
  if (mark.index < mark_.index) {
    return gap("snapshot mark " + std::to_string(mark.index) + " is below the one before it");
  }
  mark_ = mark;
  if (mark.index < base_index_) {
    return ok();  // Repeated at the start of a segment whose older entries were dropped.
  }
  const bool base_term_unknown = base_term_ == 0 && base_index_ != 0;
  const bool same_history =
      mark.index <= last_index() &&
      (mark.index == base_index_ ? base_term_ == mark.term || base_term_unknown
                                 : place(mark.index).term == mark.term);
  if (same_history) {
    const auto dropped = static_cast<std::ptrdiff_t>(mark.index - base_index_);
    places_.erase(places_.begin(), places_.begin() + dropped);
  } else {
    places_.clear();
    config_indexes_.clear();
  }
  config_indexes_.erase(config_indexes_.begin(), config_indexes_.upper_bound(mark.index));
  base_index_ = mark.index;
  base_term_ = SKEP_MUTANT(kSnapshotForgetsTerm) ? 0 : mark.term;
  return ok();
}

Status LogContent::set_hard_state(const HardState& state) {
  if (state.term < hard_state_.term) {
    return gap("the term goes back from " + std::to_string(hard_state_.term) + " to " +
               std::to_string(state.term));
  }
  hard_state_ = state;
  return ok();
}

Status LogContent::check_complete() const {
  if (mark_.index < base_index_) {
    return gap("entries " + std::to_string(mark_.index + 1) + " to " + std::to_string(base_index_) +
               " are missing");
  }
  if (hard_state_.commit > last_index()) {
    return gap("entries up to " + std::to_string(hard_state_.commit) +
               " were committed, the log ends at " + std::to_string(last_index()));
  }
  return ok();
}

}  // namespace skep::raft
