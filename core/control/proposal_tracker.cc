#include "core/control/proposal_tracker.h"

#include <iterator>
#include <utility>

#include "skep/mutant.h"

namespace skep::control {
namespace {

template <class Key>
void erase_pair(std::multimap<Key, std::string>& map, const Key& key, const std::string& id) {
  auto [it, end] = map.equal_range(key);
  for (; it != end; ++it) {
    if (it->second == id) {
      map.erase(it);
      return;
    }
  }
}

Result<std::uint64_t> result_of(std::uint64_t index, const store::ApplyResult& applied) {
  switch (applied.outcome) {
    case store::Outcome::kApplied:
      return index;
    case store::Outcome::kConflict:
      return Error{Code::kConflict, applied.message, "VERSION_CONFLICT"};
    case store::Outcome::kMalformed:
      return Error{Code::kInvalidArgument, applied.message, "CHANGE_SET_MALFORMED"};
    case store::Outcome::kEmpty:
      break;
  }
  SKEP_UNREACHABLE();  // an empty entry has no proposer
}

Error dropped_error() {
  return Error{Code::kUnavailable, "the leader changed before the write was committed; try again",
               "PROPOSAL_DROPPED"};
}

Error unknown_error() {
  return Error{
      Code::kTimeout,
      "the write was not committed in time; it may still be: read again before repeating it",
      "PROPOSAL_UNKNOWN"};
}

}  // namespace

Status ProposalTracker::add(const std::string& id, std::size_t bytes, TimePoint deadline,
                            store::OnCommitted& done) {
  if (open_.size() >= kInFlightMax || bytes_ + bytes > kInFlightBytesMax) {
    return Error{Code::kResourceExhausted,
                 std::to_string(open_.size()) + " proposals are in flight; try again in a moment",
                 "PROPOSALS_IN_FLIGHT"};
  }
  bytes_ += bytes;
  open_.emplace(id, Open{std::move(done), bytes, 0, deadline, incarnation_});
  by_deadline_.emplace(deadline, id);
  return ok();
}

ProposalTracker::Answer ProposalTracker::close(std::map<std::string, Open>::iterator it,
                                               Result<std::uint64_t> result) {
  Open& open = it->second;
  bytes_ -= open.bytes;
  erase_pair(by_deadline_, open.deadline, it->first);
  if (open.index != 0) {
    erase_pair(by_index_, open.index, it->first);
  }
  Answer answer{std::move(open.done), std::move(result)};
  open_.erase(it);
  return answer;
}

void ProposalTracker::accepted(const std::string& id, std::uint64_t index) {
  const auto it = open_.find(id);
  if (it == open_.end() || it->second.index != 0) {
    return;  // already applied: the commit may overtake the answer
  }
  it->second.index = index;
  by_index_.emplace(index, id);
}

std::vector<ProposalTracker::Answer> ProposalTracker::dropped(const std::string& id, Error error) {
  std::vector<Answer> answers;
  if (const auto it = open_.find(id); it != open_.end()) {
    answers.push_back(close(it, std::move(error)));
  }
  return answers;
}

std::vector<ProposalTracker::Answer> ProposalTracker::applied(std::uint64_t index,
                                                              const store::ApplyResult& result) {
  std::vector<Answer> answers;
  if (!result.proposer.empty()) {
    if (const auto it = open_.find(result.proposer); it != open_.end()) {
      answers.push_back(close(it, result_of(index, result)));
    }
  }
  // Whatever else was accepted at or below this index is not in the log: another entry is.
  while (!by_index_.empty() && by_index_.begin()->first <= index) {
    const auto it = open_.find(by_index_.begin()->second);
    answers.push_back(close(it, SKEP_MUTANT(kOverwrittenCountsAsDone)
                                    ? Result<std::uint64_t>(index)
                                    : dropped_error()));
  }
  return answers;
}

std::vector<ProposalTracker::Answer> ProposalTracker::end_earlier_incarnations() {
  std::vector<Answer> answers;
  for (auto it = open_.begin(); it != open_.end();) {
    const auto next = std::next(it);
    if (it->second.incarnation < incarnation_) {
      answers.push_back(close(it, dropped_error()));
    }
    it = next;
  }
  return answers;
}

std::vector<ProposalTracker::Answer> ProposalTracker::expire(TimePoint now) {
  std::vector<Answer> answers;
  while (!by_deadline_.empty() && by_deadline_.begin()->first <= now) {
    const auto it = open_.find(by_deadline_.begin()->second);
    answers.push_back(close(it, unknown_error()));
  }
  return answers;
}

std::vector<ProposalTracker::Answer> ProposalTracker::skipped_to(std::uint64_t index) {
  std::vector<Answer> answers;
  while (!by_index_.empty() && by_index_.begin()->first <= index) {
    const auto it = open_.find(by_index_.begin()->second);
    answers.push_back(close(it, unknown_error()));
  }
  return answers;
}

std::vector<ProposalTracker::Answer> ProposalTracker::fail_all(const Error& error) {
  std::vector<Answer> answers;
  while (!open_.empty()) {
    answers.push_back(close(open_.begin(), Error(error)));
  }
  return answers;
}

TimePoint ProposalTracker::next_deadline() const {
  SKEP_ASSERT(!by_deadline_.empty(), "asked only while something is open");
  return by_deadline_.begin()->first;
}

}  // namespace skep::control
