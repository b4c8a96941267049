#include "core/control/dispatcher/observed_writes.h"

#include <utility>

#include "core/model/task_state.h"
#include "core/model/task_status.h"
#include "core/model/validate_task.h"
#include "skep/mutant.h"

namespace skep::control {
namespace {

/// Forward only, and a task ends once.
bool may_replace(const model::v1::TaskStatus& known, const model::v1::TaskStatus& news) {
  return news.state() == known.state() || SKEP_MUTANT(kTaskStatesGoBack) ||
         (model::may_follow(known.state(), news.state()) && !model::is_terminal(known.state()));
}

/// Equal but for the time: a repeat of what is known is not worth a write.
bool same_news(model::v1::TaskStatus left, model::v1::TaskStatus right) {
  left.clear_timestamp();
  right.clear_timestamp();
  return left.SerializeAsString() == right.SerializeAsString();
}

}  // namespace

void ObservedWrites::put_status(const std::string& task_id, const model::v1::TaskStatus& status) {
  const auto [it, is_new] = next_.tasks.try_emplace(task_id, status);
  if (!is_new && model::may_follow(it->second.state(), status.state())) {
    it->second = status;
  }
}

void ObservedWrites::put_node_status(const std::string& node_id,
                                     const model::v1::NodeStatus& status) {
  next_.nodes[node_id].status = status;
}

void ObservedWrites::put_description(const std::string& node_id,
                                     const model::v1::NodeDescription& description) {
  next_.nodes[node_id].description = description;
}

std::vector<store::Transaction> ObservedWrites::take(const store::View& view,
                                                     std::vector<Reply>& replies) {
  if (in_flight_ > 0 || !has_work()) {
    return {};
  }
  failed_ = false;
  current_ = std::exchange(next_, {});
  current_waiting_ = std::exchange(waiting_, {});
  store::Batch batch;
  for (const auto& [id, status] : current_.tasks) {
    const auto known = view.get<model::v1::Task>(id);
    if (known == nullptr || !may_replace(known->status(), status) ||
        same_news(known->status(), status)) {
      continue;
    }
    model::v1::Task task = *known;
    model::note_running(task);
    *task.mutable_status() = status;
    batch.put(std::move(task));
  }
  for (const auto& [id, change] : current_.nodes) {
    const auto known = view.get<model::v1::Node>(id);
    if (known == nullptr) {
      continue;
    }
    model::v1::Node node = *known;
    if (change.status) {
      *node.mutable_status() = *change.status;
    }
    if (change.description) {
      *node.mutable_description() = *change.description;
    }
    if (model::deterministic_bytes(node) != model::deterministic_bytes(*known)) {
      batch.put(std::move(node));
    }
  }
  auto transactions = batch.take();
  in_flight_ = transactions.size();
  if (SKEP_MUTANT(kStatusAckedUncommitted)) {
    for (const ReplyToken token : std::exchange(current_waiting_, {})) {
      replies.push_back({token, ok()});
    }
  }
  if (in_flight_ == 0) {
    current_ = {};
    for (const ReplyToken token : std::exchange(current_waiting_, {})) {
      replies.push_back({token, ok()});
    }
  }
  return transactions;
}

std::vector<ObservedWrites::Reply> ObservedWrites::committed(const Result<std::uint64_t>& result) {
  SKEP_ASSERT(in_flight_ > 0, "answers come once per change set");
  --in_flight_;
  if (!result) {
    conflict_ = conflict_ || result.error().code == Code::kConflict;
    if (result.error().code != Code::kConflict && !error_) {
      error_ = result.error();
    }
  }
  if (in_flight_ > 0) {
    return {};
  }
  std::vector<Reply> replies;
  const auto error = std::exchange(error_, {});
  if (std::exchange(conflict_, false) && !error) {
    put_back();  // what was committed of it is known news in the next round
    waiting_.insert(waiting_.begin(), current_waiting_.begin(), current_waiting_.end());
  } else {
    failed_ = error.has_value();
    if (failed_) {
      put_back();
    }
    for (const ReplyToken token : current_waiting_) {
      replies.push_back({token, error ? Status(Error(*error)) : ok()});
    }
  }
  current_ = {};
  current_waiting_.clear();
  return replies;
}

void ObservedWrites::put_back() {
  for (auto& [id, status] : current_.tasks) {
    const auto [it, is_new] = next_.tasks.try_emplace(id, status);
    if (!is_new && !model::may_follow(status.state(), it->second.state())) {
      it->second = status;  // what was reported first was further
    }
  }
  for (auto& [id, change] : current_.nodes) {
    auto& newer = next_.nodes[id];
    if (!newer.status) {
      newer.status = change.status;
    }
    if (!newer.description) {
      newer.description = change.description;
    }
  }
}

}  // namespace skep::control
