#pragma once

// Gathers what nodes report (task states, descriptions) and what the dispatcher finds (node up or
// down) into change sets. One round is in flight at a time; what comes meanwhile joins the next, so
// load makes rounds larger, not more. Pure. Observed states only move forward.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/store/transaction.h"
#include "core/store/view.h"
#include "skep/model.pb.h"
#include "skep/result.h"

namespace skep::control {

class ObservedWrites {
 public:
  using ReplyToken = std::uint64_t;
  struct Reply {
    ReplyToken token;
    Status status;
  };

  /// `token` is answered once the statuses are committed (0: nobody waits).
  void put_status(const std::string& task_id, const model::v1::TaskStatus& status);
  void put_node_status(const std::string& node_id, const model::v1::NodeStatus& status);
  void put_description(const std::string& node_id, const model::v1::NodeDescription& description);
  /// Everything put since the last answer() is covered by `token`.
  void answer(ReplyToken token) { waiting_.push_back(token); }

  /// The change sets of the next round; empty while one is in flight or nothing is to be written
  /// (then `replies` gets those whose news were already known).
  std::vector<store::Transaction> take(const store::View& view, std::vector<Reply>& replies);
  /// One of the change sets of the round was committed or not. kConflict: its objects join the next
  /// round, as they are now. Other errors: the same, but waiters get the error.
  std::vector<Reply> committed(const Result<std::uint64_t>& result);

  /// A round failed for lack of a leader or a full disk: do not take() again at once.
  [[nodiscard]] bool should_pause() const { return failed_; }
  [[nodiscard]] bool has_work() const {
    return in_flight_ == 0 && (!next_.empty() || !waiting_.empty());
  }

 private:
  struct NodeChange {
    std::optional<model::v1::NodeStatus> status;
    std::optional<model::v1::NodeDescription> description;
  };
  struct Round {
    std::map<std::string, model::v1::TaskStatus> tasks;
    std::map<std::string, NodeChange> nodes;
    [[nodiscard]] bool empty() const { return tasks.empty() && nodes.empty(); }
  };
  void put_back();

  Round next_;
  std::vector<ReplyToken> waiting_;
  Round current_;
  std::vector<ReplyToken> current_waiting_;
  std::size_t in_flight_ = 0;
  bool conflict_ = false;
  bool failed_ = false;
  std::optional<Error> error_;
};

}  // namespace skep::control
