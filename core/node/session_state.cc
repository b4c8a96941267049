#include "core/node/session_state.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace skep::node {
namespace {

constexpr Duration kBackOffStep = std::chrono::milliseconds(100);
constexpr Duration kBackOffMax = std::chrono::seconds(8);

}  // namespace

Duration BackOff::next(Random& random) {
  longest_ = std::min(kBackOffMax, kBackOffStep + 2 * longest_);
  return Duration(static_cast<std::int64_t>(
      random.below(static_cast<std::uint64_t>(longest_.count()) + 1)));
}

Result<std::optional<AssignmentTracker::Assignments>> AssignmentTracker::take(
    const dispatch::v1::AssignmentsMessage& message) {
  if (message.fragment().empty()) {
    if (!fragments_.empty()) {
      return Error{Code::kConflict, "the end of a large assignment is missing"};
    }
    return take_whole(message);
  }
  if (fragments_.size() + message.fragment().size() > kFragmentedBytesMax) {
    return Error{Code::kConflict, "an assignment is larger than " +
                                      std::to_string(kFragmentedBytesMax) + " bytes"};
  }
  fragments_ += message.fragment();
  if (message.fragment_more()) {
    return std::optional<Assignments>();
  }
  dispatch::v1::AssignmentsMessage whole;
  if (!whole.ParseFromString(std::exchange(fragments_, {})) || !whole.fragment().empty()) {
    return Error{Code::kConflict, "the parts of a large assignment do not fit together"};
  }
  return take_whole(whole);
}

Result<std::optional<AssignmentTracker::Assignments>> AssignmentTracker::take_whole(
    const dispatch::v1::AssignmentsMessage& message) {
  if (parts_ && (message.type() != parts_->type() ||
                 message.results_in() != parts_->results_in())) {
    return Error{Code::kConflict, "assignments '" + parts_->results_in() + "' ended early"};
  }
  if (!parts_ && message.type() == dispatch::v1::AssignmentsMessage::INCREMENTAL &&
      message.applies_to() != sequence_) {
    return Error{Code::kConflict, "assignments follow '" + message.applies_to() +
                                      "', but the last seen are '" + sequence_ + "'"};
  }
  if (parts_) {
    parts_->MergeFrom(message);
  } else {
    parts_ = message;
  }
  if (message.more()) {
    return std::optional<Assignments>();
  }
  sequence_ = parts_->results_in();
  Assignments result;
  result.complete = parts_->type() == dispatch::v1::AssignmentsMessage::COMPLETE;
  result.tasks.assign(parts_->tasks().begin(), parts_->tasks().end());
  result.removed_tasks.assign(parts_->removed_tasks().begin(), parts_->removed_tasks().end());
  parts_.reset();
  return std::optional<Assignments>(std::move(result));
}

void AssignmentTracker::reset() {
  fragments_.clear();
  sequence_.clear();
  parts_.reset();
}

void StatusQueue::note(const std::string& task_id, const model::v1::TaskStatus& status) {
  pending_[task_id] = status;
}

std::vector<dispatch::v1::TaskStatusUpdate> StatusQueue::batch(std::size_t limit) const {
  std::vector<dispatch::v1::TaskStatusUpdate> updates;
  std::size_t bytes = 0;
  for (const auto& [id, status] : pending_) {
    if (updates.size() == limit || bytes > kBatchBytes) {
      break;
    }
    bytes += status.ByteSizeLong();
    auto& update = updates.emplace_back();
    update.set_task_id(id);
    *update.mutable_status() = status;
  }
  return updates;
}

void StatusQueue::acknowledge(const std::vector<dispatch::v1::TaskStatusUpdate>& updates) {
  for (const auto& update : updates) {
    const auto it = pending_.find(update.task_id());
    if (it != pending_.end() && it->second.state() == update.status().state() &&
        it->second.timestamp() == update.status().timestamp()) {
      pending_.erase(it);
    }
  }
}

}  // namespace skep::node
